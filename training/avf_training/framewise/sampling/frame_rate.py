"""Times of frames, and the reader that takes about five frames a second."""

import numpy as np

from avf_training.evaluation.metrics import Floats
from avf_training.framewise.metrics import WholeNumbers
from avf_training.framewise.rounding import round_half_away

STEPS_PER_SECOND = 5  # of the dynamic models


def frame_step(fps: float) -> int:
    """Return every how many rows are read: 6 at 30 and 29.97 fps, 5 at 25 and 23.976, and every row below 7.5."""
    return max(1, round_half_away(fps / STEPS_PER_SECOND))


def reader_rows(rows: int, fps: float) -> WholeNumbers:
    """Return which rows are read, from the first on.

    Rows are counted, not times: where invalid frames were dropped before, the reader steps over them.
    """
    return np.arange(0, rows, frame_step(fps), dtype=np.int64)


def rounded_frame_times(frame_numbers: WholeNumbers, fps: float) -> Floats:
    """Return the time of each frame by SUN's clock, in s: number / fps, so frame 1 is not at 0, in hundredths."""
    return np.round(frame_numbers / fps, 2)
