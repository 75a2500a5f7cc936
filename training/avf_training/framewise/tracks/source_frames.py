"""The frames of a video as its labels number them, behind clips of 25 frames a second.

Where a clip has labels of frames, its record says which frames of the source lie in it, when each is presented and
which of them each frame of the clip shows; tracks and labels then both number the frames of the source.

Shapes: F frames of the source in a clip, T frames of a clip.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from avf_shards.schema.frame_labels import SourceFrames

_DECIMALS = 3  # of a rate: times have six, and clips two seconds and more


def measure_fps(stretches: Iterable[SourceFrames]) -> float | None:
    """Return the mean frames a second, over pairs of frames that follow each other; None without such a pair."""
    frames, seconds = 0, 0.0
    for stretch in stretches:
        steps = np.diff(stretch.numbers) == 1  # a number may be missing among images
        frames += int(steps.sum())
        seconds += float(np.diff(stretch.times_s)[steps].sum())
    return round(frames / seconds, _DECIMALS) if frames and seconds > 0 else None


def rows_of_source_frames(frames: SourceFrames, rows_R: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return for each source frame the index among the clip's rows that stand for it, -1 where none does, (F,).

    That is the first row that shows it. A frame that no row shows, as one in six at 30 frames a second, has the row
    that is shown when it is presented, where the rows are every frame of the clip.
    """
    shown_T = np.asarray(frames.shown)
    numbers_F = np.asarray(frames.numbers)
    first_F = np.searchsorted(shown_T, numbers_F, side="left")
    inside_F = np.minimum(first_F, len(shown_T) - 1)
    is_shown_F = shown_T[inside_F] == numbers_F
    row_F = np.where(is_shown_F, inside_F, np.maximum(0, first_F - 1))
    if len(rows_R) == len(shown_T):
        return row_F.astype(np.int64)
    index_of = np.full(len(shown_T), -1, np.int64)
    index_of[rows_R] = np.arange(len(rows_R))
    if len(rows_R) and not is_shown_F.all():
        row_F = np.where(is_shown_F, row_F, -1)
    return np.where(row_F >= 0, index_of[row_F], -1)
