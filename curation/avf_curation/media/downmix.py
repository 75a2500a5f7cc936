"""Mixes the channels of a sound track: films with a centre channel at the level of the voice, and channels that cancel.

FFmpeg lowers a sum of many channels so far that no sum can be too loud: a voice that is in the centre of 5.1 alone, as
in films, comes 10.7 dB below the same voice in mono, and below the floor of silence where it is quiet. In floating
point FFmpeg leaves the centre as it is, and what is then too loud is clipped, as players do.

Two channels that have nothing to do with each other sum to the power that each would leave alone. Where the sum has far
less, one channel is the other turned over, and the louder of the two stands for both.
"""

from collections import defaultdict
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from avf_curation.media.types import FULL_SCALE, Samples

SEGMENT_S = 1.0  # channels are compared second by second: a film may have one clip in antiphase
# Of the power that the channels would leave without any relation; reached at a correlation of -0.75. Wide stereo and
# room sound stay above -0.5.
MAX_CANCELLED_POWER = 0.25
_MIN_POWER = 1e-8  # mean square, -80 dBFS: below, there is nothing to cancel


def mix_format(layout: Any) -> str:
    """Return the format of samples in which FFmpeg shall mix channels of `layout`: with a centre, not lowered."""
    has_centre = layout.nb_channels > 2 and any(channel.name == "FC" for channel in layout.channels)
    return "fltp" if has_centre else "s16p"


def to_int16(block_CS: npt.NDArray[Any]) -> Samples:
    """Return samples in floating point, full scale 1, as 16 bits; what is louder is clipped. 16 bits stay."""
    if block_CS.dtype == np.int16:
        return block_CS
    scaled_CS: Samples = np.clip(np.rint(block_CS * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    return scaled_CS


class ChannelComparison:
    """Compares the left and the right channel of a sound track, second by second."""

    def __init__(self) -> None:
        self._power: dict[int, npt.NDArray[np.float64]] = defaultdict(lambda: np.zeros(4))
        self._to_stereo: dict[tuple[Any, ...], Any] = {}

    def add(self, time_s: float, frame: Any) -> None:
        """Take a decoded frame of sound that starts at `time_s`; the frame is not changed."""
        if frame.layout.nb_channels < 2:
            return
        key = frame.format.name, frame.layout.name, frame.sample_rate
        if key not in self._to_stereo:  # 5.1 becomes left and right; the rate stays, so nothing is held back
            self._to_stereo[key] = av.AudioResampler(format="fltp", layout="stereo", rate=frame.sample_rate)
        for block in self._to_stereo[key].resample(frame):
            left, right = block.to_ndarray().astype(np.float64)
            sums = (left @ left, right @ right, np.sum((left + right) ** 2), len(left))
            self._power[int(time_s // SEGMENT_S)] += sums

    def cancelled_segments(self) -> list[int]:
        """Return the numbers of the seconds, from time 0 on, in which the channels cancel each other."""
        segments = []
        for segment, (left, right, both, samples) in sorted(self._power.items()):
            if left + right > 2 * _MIN_POWER * samples and both < MAX_CANCELLED_POWER * (left + right):
                segments.append(segment)
        return segments

    def louder_channel(self, segments: list[int]) -> int:
        """Return 0 where the left channel is at least as loud as the right one in these seconds, else 1."""
        left, right, _, _ = np.sum([self._power[segment] for segment in segments], axis=0)
        return 0 if left >= right else 1
