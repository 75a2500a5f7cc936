"""Four seconds of sound with labels five times a second, where a person seems to speak.

Frames are rows of a video, row 0 being frame 1. F is the rounded frame rate. N rows, S steps of a segment (20).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from avf_training.framewise.metrics import WholeNumbers
from avf_training.framewise.rounding import round_half_away

SEGMENT_S, STRIDE_S, SHORTEST_RUN_S, SHORTEST_PAUSE_S = 4, 2, 2, 0.5
STEPS_PER_EXPRESSION = 5  # of the 20 labels of a segment
SAMPLE_RATE_HZ = 16_000

Booleans = npt.NDArray[np.bool_]
Clock = Literal["exact", "rounded_fps"]


@dataclass(frozen=True, kw_only=True)
class VoiceSegment:
    """A stretch of frames without a jump, its sound, and the rows of its labels."""

    rows: WholeNumbers  # of the video, up to 4 F; their labels are repeated to 4 F where there are fewer
    end_frame: int  # number of the frame behind the segment, or the last of its run
    start_s: float  # of the sound
    end_s: float
    rounded_fps: int  # F

    @property
    def first_frame(self) -> int:
        """Return the number of the first frame, from 1."""
        return int(self.rows[0]) + 1

    @property
    def label_rows(self) -> WholeNumbers:
        """Return the row of each of the 20 labels; behind a short segment the last row again."""
        return self.rows[np.minimum(label_positions(self.rounded_fps), len(self.rows) - 1)]


def label_positions(rounded_fps: int) -> WholeNumbers:
    """Return the positions of the labels in a segment of 4 F frames: every F / 5, rounded half up."""
    positions = np.arange(0, SEGMENT_S * rounded_fps - 1, rounded_fps / 5)
    return np.array([round_half_away(position) for position in positions], np.int64)


def training_segments(open_N: Booleans, valid_N: Booleans, fps: float, *, clock: Clock = "exact") -> list[VoiceSegment]:
    """Return segments of 4 s every 2 s from runs of at least 2 s with an open mouth and valid labels.

    A mouth that is closed for less than half a second counts as open.

    Args:
        open_N: False also where no mouth was found.
        clock: `rounded_fps` is the authors', whose sound starts a frame late and drifts where F is not the frame rate.
    """
    usable_N = _without_short_pauses(open_N, SHORTEST_PAUSE_S * round_half_away(fps)) & valid_N
    return _segments(usable_N, fps, clock, shortest=SHORTEST_RUN_S * round_half_away(fps))


def extraction_segments(rows: int, fps: float, *, clock: Clock = "exact") -> list[VoiceSegment]:
    """Return segments that cover a whole video of `rows` frames, sorted by their start."""
    return _segments(np.ones(rows, bool), fps, clock, shortest=1)


def expression_labels(labels_N: WholeNumbers, segment: VoiceSegment) -> WholeNumbers:
    """Return one expression for each second of a segment, (4,): the most frequent of five labels, of equals the lowest.

    A short segment is filled with its most frequent label.
    """
    labels = labels_N[segment.rows]
    missing = SEGMENT_S * segment.rounded_fps - len(labels)
    filled = np.concatenate([labels, np.full(max(0, missing), _most_frequent(labels), labels.dtype)])
    steps = filled[label_positions(segment.rounded_fps)].reshape(-1, STEPS_PER_EXPRESSION)
    return np.array([_most_frequent(each) for each in steps], np.int64)


def segment_sound(wave: npt.NDArray[np.floating], segment: VoiceSegment) -> npt.NDArray[np.floating]:
    """Return 4 s of 16 kHz sound of a segment, zeros behind its end or the end of the sound."""
    start = round(SAMPLE_RATE_HZ * segment.start_s)
    sound = wave[start : min(round(SAMPLE_RATE_HZ * segment.end_s), start + SEGMENT_S * SAMPLE_RATE_HZ)]
    return np.pad(sound, (0, SEGMENT_S * SAMPLE_RATE_HZ - len(sound)))


def _segments(usable_N: Booleans, fps: float, clock: Clock, shortest: float) -> list[VoiceSegment]:
    rounded_fps = max(1, round_half_away(fps))
    length, stride = SEGMENT_S * rounded_fps, STRIDE_S * rounded_fps
    segments: dict[tuple[int, int], VoiceSegment] = {}
    for start, stop in _runs(usable_N):
        if stop - start < shortest:
            continue
        for first in range(start, stop, stride):
            # A window that runs out is replaced by the last whole one; most often that is there already.
            begin = first if first + length <= stop else max(start, stop - length)
            end = min(begin + length, stop)
            end_frame = end + 1 if end < stop else end
            segments[begin, end] = VoiceSegment(
                rows=np.arange(begin, end, dtype=np.int64),
                end_frame=end_frame,
                start_s=begin / fps if clock == "exact" else (begin + 1) / rounded_fps,
                end_s=end / fps if clock == "exact" else end_frame / rounded_fps,
                rounded_fps=rounded_fps,
            )
    return [segments[key] for key in sorted(segments)]


def _runs(flags_N: Booleans) -> list[tuple[int, int]]:
    """Return (start, stop) of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags_N, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _without_short_pauses(open_N: Booleans, shortest: float) -> Booleans:
    filled_N = open_N.copy()
    for start, stop in _runs(~open_N):
        if stop - start < shortest:
            filled_N[start:stop] = True
    return filled_N


def _most_frequent(labels: WholeNumbers) -> int:
    values, counts = np.unique(labels, return_counts=True)
    return int(values[counts.argmax()])
