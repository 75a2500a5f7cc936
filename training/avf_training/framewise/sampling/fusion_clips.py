"""Clips of 100 frames for NetEase's fusion transformer, with a mask where a video is shorter."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avf_training.framewise.metrics import WholeNumbers

CLIP_FRAMES = 100


@dataclass(frozen=True, kw_only=True)
class FusionClips:
    """Rows of each clip. K clips of T frames."""

    rows_KT: WholeNumbers  # row of the video; the last row again behind a short video
    valid_KT: npt.NDArray[np.bool_]  # False where the row is padding: no attention, no loss, no prediction


def cut_clips(rows: int, *, length: int = CLIP_FRAMES, stride: int | None = None) -> FusionClips:
    """Cut a video of `rows` frames into clips; a last one that ends with the last row overlaps the one before it.

    Args:
        stride: frames between starts, a whole clip where None; less gives frames several predictions.
    """
    if rows <= length:
        positions = np.arange(length)
        rows_T = np.minimum(positions, max(0, rows - 1))
        clips = 1 if rows else 0
        return FusionClips(
            rows_KT=np.tile(rows_T, (clips, 1)).astype(np.int64), valid_KT=np.tile(positions < rows, (clips, 1))
        )
    starts = list(range(0, rows - length + 1, stride or length))
    if starts[-1] + length < rows:
        starts.append(rows - length)
    rows_KT = np.asarray(starts, np.int64)[:, None] + np.arange(length)
    return FusionClips(rows_KT=rows_KT, valid_KT=np.ones(rows_KT.shape, bool))
