"""Windows of SUN's dynamic models over the rows of a video that were read at five frames a second.

Rows are given by the numbers of their frames; a window is an array of row numbers, -1 for a row of zeros.
"""

import math
from typing import Literal

import numpy as np

from avf_training.framewise.metrics import WholeNumbers
from avf_training.framewise.rounding import round_half_away
from avf_training.framewise.sampling.frame_rate import STEPS_PER_SECOND, frame_step
from avf_training.framewise.sampling.stretches import split_at_gaps

LastTrainingWindow = Literal["append", "never"]
LastEvaluationWindow = Literal["append", "overwrite"]
PADDING_ROW = -1
"""Number of a row that has no frame and is filled with zeros."""


def training_windows(
    frame_numbers_N: WholeNumbers,
    length: int,
    *,
    last: LastTrainingWindow = "append",
    longest_step: float = math.inf,
) -> WholeNumbers:
    """Return the windows to train on, (K, length) rows, each half a window after the one before.

    A window with a gap, whose span is not its usual step times its length, is left out, and so is a video that is
    shorter than a window.

    Args:
        last: the window that ends with the last row is added where the others do not reach it, or never, as in the
            authors' code.
        longest_step: frames between two rows of a window; a window of more is left out, however even its steps are.
    """
    rows = len(frame_numbers_N)
    starts = list(range(0, rows - length + 1, _stride(length)))
    if last == "append" and rows >= length and starts[-1] + length < rows:
        starts.append(rows - length)
    windows = [
        np.arange(start, start + length)
        for start in starts
        if _has_span(frame_numbers_N[start : start + length], _usual_step(frame_numbers_N[start : start + length]))
        and np.diff(frame_numbers_N[start : start + length]).max(initial=0) <= longest_step
    ]
    return _stack(windows, length)


def evaluation_windows(
    frame_numbers_N: WholeNumbers, length: int, *, last: LastEvaluationWindow = "append"
) -> WholeNumbers:
    """Return the windows to score a video on, (K, length) rows; a short video gets padding rows in front.

    Args:
        last: `append`: a gap by the video's usual step ends a window, and each stretch without one is a video of its
            own, whose last window ends with its last row. `overwrite`, as in the authors' code: windows with a gap are
            left out, but for the last one of the video, which takes the place of the window before it. There the frames
            of that window may be left without a prediction.
    """
    rows = len(frame_numbers_N)
    step = _usual_step(frame_numbers_N)
    if last == "append":
        stretches = split_at_gaps(frame_numbers_N, step)
        return _stack([window for each in stretches for window in _windows_of_stretch(each, length)], length)
    if not rows:
        return _stack([], length)
    if rows <= length:
        return _stack(_windows_of_stretch(slice(0, rows), length), length)
    windows = [
        np.arange(start, start + length)
        for start in range(0, rows - length, _stride(length))
        if _has_span(frame_numbers_N[start : start + length], step)
    ]
    return _stack([*windows[:-1], np.arange(rows - length, rows)], length)


def extraction_windows(rows: int, fps: float, length: int) -> list[WholeNumbers]:
    """Return the windows of the final extraction from rows at full frame rate, each of about `length` rows.

    They have length // 5 seconds at the rounded frame rate, overlap by half, and the last one ends with the last row. A
    video that is shorter is one window.
    """
    rounded_fps = max(1, round_half_away(fps))
    frames = max(1, length // STEPS_PER_SECOND) * rounded_fps
    starts = list(range(0, rows - frames + 1, max(1, frames // 2)))
    if rows and (not starts or starts[-1] + frames < rows):
        starts.append(max(0, rows - frames))
    step = frame_step(rounded_fps)
    return [np.arange(start, min(start + frames, rows), step, dtype=np.int64) for start in starts]


def _windows_of_stretch(stretch: slice, length: int) -> list[WholeNumbers]:
    """Return windows that cover all rows of a stretch; one that is shorter has padding in front."""
    rows = np.arange(stretch.start, stretch.stop, dtype=np.int64)
    if len(rows) <= length:
        return [np.concatenate([np.full(length - len(rows), PADDING_ROW), rows])]
    starts = range(0, len(rows) - length, _stride(length))
    return [*(rows[start : start + length] for start in starts), rows[-length:]]


def _stride(length: int) -> int:
    return max(1, length // 2)


def _stack(windows: list[WholeNumbers], length: int) -> WholeNumbers:
    return np.stack(windows).astype(np.int64) if windows else np.zeros((0, length), np.int64)


def _usual_step(numbers: WholeNumbers) -> int:
    """Return the most frequent step between frame numbers, of equally frequent ones the shortest."""
    steps, counts = np.unique(np.diff(numbers), return_counts=True)
    return int(steps[counts.argmax()]) if len(steps) else 0


def _has_span(numbers: WholeNumbers, step: int) -> bool:
    return int(numbers[-1] - numbers[0]) == step * (len(numbers) - 1)
