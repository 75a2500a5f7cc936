"""The masks of a batch as index tensors.

Shapes: B batch, V visible tokens, M tokens to reconstruct.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from avf_training.models.mask_sampling import ClipMask


class Masks(NamedTuple):
    """The masks of a batch: token indices (int64) and weights (float32), as `ModalityMask` has them for one clip."""

    video_visible_BV: Tensor
    video_position_BV: Tensor
    video_target_BM: Tensor
    video_weight_BM: Tensor
    audio_visible_BV: Tensor
    audio_position_BV: Tensor
    audio_target_BM: Tensor
    audio_weight_BM: Tensor

    @classmethod
    def stack(cls, clips: list[ClipMask], device: torch.device | str = "cpu") -> "Masks":
        """Stack the masks of single clips on `device`."""
        parts = [
            getattr(getattr(clip, modality), part)
            for modality in ("video", "audio")
            for part in ("visible_V", "position_V", "target_M", "weight_M")
            for clip in clips
        ]
        stacked = [np.stack(parts[start : start + len(clips)]) for start in range(0, len(parts), len(clips))]
        return cls(*(torch.from_numpy(array).to(device) for array in stacked))
