"""Clips of 100 frames for NetEase's fusion transformer, with a mask where a video is shorter or has a gap."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avf_training.framewise.metrics import WholeNumbers

CLIP_FRAMES = 100


@dataclass(frozen=True, kw_only=True)
class FusionClips:
    """Rows of each clip. K clips of T frames."""

    rows_KT: WholeNumbers  # row of the video; where a frame is missing, that of the next one there is
    valid_KT: npt.NDArray[np.bool_]  # False where the row is padding: no attention, no loss, no prediction


def cut_clips(frame_numbers_N: WholeNumbers, *, length: int = CLIP_FRAMES, stride: int | None = None) -> FusionClips:
    """Cut a video into clips of `length` frames, by the rising numbers of the frames that it has.

    A last clip that ends with the last frame overlaps the one before it. A frame that is missing is padding, and a clip
    without any frame is left out, so that no clip has frames that are further apart than its length.

    Args:
        stride: frames between starts, a whole clip where None; less gives frames several predictions.
    """
    if not len(frame_numbers_N):
        return FusionClips(rows_KT=np.zeros((0, length), np.int64), valid_KT=np.zeros((0, length), bool))
    offsets_N = frame_numbers_N - frame_numbers_N[0]
    last_start = int(offsets_N[-1]) + 1 - length  # of the clip that ends with the last frame
    step = stride or length
    # Each frame is in the clip that starts last before it, and in as many before as overlap.
    starts_N = offsets_N // step * step
    starts = np.concatenate([starts_N - step * earlier for earlier in range(-(-length // step))])
    starts = np.unique(starts[(starts >= 0) & (starts <= max(0, last_start))])
    if last_start > 0 and (not len(starts) or starts[-1] < last_start):
        starts = np.append(starts, last_start)
    asked_KT = starts[:, None] + np.arange(length)
    rows_KT = np.minimum(np.searchsorted(offsets_N, asked_KT), len(offsets_N) - 1).astype(np.int64)
    valid_KT = offsets_N[rows_KT] == asked_KT
    has_frame_K = valid_KT.any(1)
    return FusionClips(rows_KT=rows_KT[has_frame_K], valid_KT=valid_KT[has_frame_K])
