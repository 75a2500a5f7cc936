"""What the pipeline knows about one input after it was opened: its timeline, its sound, and where either is missing.

Frame 0 is the first decoded frame of the first video stream; the others are resampled to 25 fps by nearest timestamp.
Sound is placed against frame 0 by its own timestamps.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLES_PER_FRAME, Span

Bytes = npt.NDArray[np.uint8]
Samples = npt.NDArray[np.int16]
FULL_SCALE = 32768  # of 16-bit samples


class MediaError(Exception):
    """The input cannot be used: `kind` is a short class for the ledger, the message says what is wrong."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, kw_only=True)
class MediaConfig:
    """Limits on one input.

    max_duration_s: longer declared durations are not believed; decoded timestamps beyond it fail the video.
    max_pixels: larger pictures fail the video (a guard against decompression bombs).
    max_gap_s: a hole in the timestamps longer than this counts as missing picture or sound, not as a slow frame rate.
    """

    max_duration_s: float
    max_pixels: int
    max_gap_s: float


@dataclass(frozen=True)
class TimeRange:
    """The part of a file that is the input, in seconds of the file's own clock."""

    start_s: float
    stop_s: float

    @property
    def seconds(self) -> float:
        return self.stop_s - self.start_s


def nearest_indices(earlier: int, later: int, first: int, ticks_numerator: int, ticks_denominator: int) -> range:
    """Timeline indices from `first` on that are nearer to timestamp `earlier` than to `later` (ties: earlier).

    Timestamps count from frame 0 in ticks of numerator/denominator seconds; all in exact integers:
    i/25 <= (earlier + later)/2 * n/d.
    """
    last = (FRAMES_PER_SECOND * ticks_numerator * (earlier + later)) // (2 * ticks_denominator)
    return range(first, last + 1)


def round_to_frames(ticks: int, ticks_numerator: int, ticks_denominator: int) -> int:
    """Return a duration in ticks as a number of 25 fps frames; half a frame is rounded up."""
    return (2 * FRAMES_PER_SECOND * ticks * ticks_numerator + ticks_denominator) // (2 * ticks_denominator)


@dataclass(frozen=True, kw_only=True)
class VideoTrack:
    """The picture side of a timeline.

    pts: stream timestamp of the source frame shown at each decoded index, (decoded_frames,).
    frames: length of the timeline; from decoded_frames on nothing could be decoded.
    gaps: index ranges that are far from any source frame. errors: indices near which packets failed to decode.
    """

    frames: int
    pts: npt.NDArray[np.int64]
    gaps: tuple[Span, ...] = ()
    errors: tuple[int, ...] = ()
    width_px: int = 0
    height_px: int = 0

    @property
    def decoded_frames(self) -> int:
        return len(self.pts)


@dataclass(frozen=True, kw_only=True)
class AudioTrack:
    """16 kHz mono sound on the video's timeline: samples (frames * 640,), zero where there is none.

    covered: sample ranges that the input has sound for.
    """

    samples: Samples
    covered: tuple[Span, ...] = field(default=())

    def missing_frames(self, span: Span) -> float:
        """How much of `span` has no sound in the input, in frames."""
        start, stop = span.start_frame * SAMPLES_PER_FRAME, span.stop_frame * SAMPLES_PER_FRAME
        have = sum(max(0, min(stop, c.stop_frame) - max(start, c.start_frame)) for c in self.covered)
        return (stop - start - have) / SAMPLES_PER_FRAME

    def cut(self, span: Span, shift_frames: int = 0) -> Samples:
        """Exactly span.frames * 640 samples; with `shift_frames` > 0 the sound is moved later by that much."""
        start = (span.start_frame - shift_frames) * SAMPLES_PER_FRAME
        stop = start + span.frames * SAMPLES_PER_FRAME
        inside = self.samples[max(0, start) : max(0, stop)]
        out = np.zeros(span.frames * SAMPLES_PER_FRAME, np.int16)
        at = max(0, -start)
        out[at : at + len(inside)] = inside
        return out


def overlap_frames(spans: tuple[Span, ...], span: Span) -> int:
    """How many frames of `span` lie in `spans`."""
    return sum(
        max(0, min(span.stop_frame, other.stop_frame) - max(span.start_frame, other.start_frame)) for other in spans
    )
