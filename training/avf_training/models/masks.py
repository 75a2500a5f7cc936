"""The masks of a batch as index tensors."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from avf_training.models.masking import ClipMask


class Masks(NamedTuple):
    """The masks of a batch: indices int64, weights float."""

    video_visible_BV: Tensor
    video_position_BV: Tensor
    video_target_BM: Tensor
    video_weight_BM: Tensor
    audio_visible_BV: Tensor
    audio_position_BV: Tensor
    audio_target_BM: Tensor
    audio_weight_BM: Tensor

    @classmethod
    def of(cls, clips: list[ClipMask], device: torch.device | str = "cpu") -> "Masks":
        """Stack the masks of single clips."""
        parts = [
            getattr(getattr(clip, stream), part)
            for stream in ("video", "audio")
            for part in ("visible_V", "position_V", "target_M", "weight_M")
            for clip in clips
        ]
        stacked = [np.stack(parts[at : at + len(clips)]) for at in range(0, len(parts), len(clips))]
        return cls(*(torch.from_numpy(array).to(device) for array in stacked))
