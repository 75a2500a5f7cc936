"""Reconstruction targets: patches, normalized one by one or as the input has them, and the motion inside each tube.

Shapes: B batch, M patches to reconstruct, P values of a patch, T frames of a tube, V values of a tube in one channel,
Y pixels of a tube in one frame, C colour channels.
"""

import torch
from torch import Tensor

from avf_training.models.config import Geometry, TargetConfig
from avf_training.models.inputs import IMAGE_STD
from avf_training.models.patch_embed import audio_patches, video_patches

_EPS = 1e-6  # added to the deviation, so that a uniform patch is not divided by zero
PAPER_TARGETS = TargetConfig()


def video_targets(
    video_BCTHW: Tensor, target_BM: Tensor, geometry: Geometry, targets: TargetConfig = PAPER_TARGETS
) -> Tensor:
    """Return the tubes at `target_BM`, each flattened as (frame, row, column, channel), (B, M, P).

    Args:
        video_BCTHW: frames normalized by ImageNet's mean and deviation.
        target_BM: raster indices of the tubes.
        geometry: sizes of the model's input.
        targets: `normalised` brings each channel of a tube to mean 0 and (unbiased) deviation 1; `frame_difference`
            replaces every odd frame of a tube by its difference to the frame before (HiCMAE 3.1.3).
    """
    voxels_BMCV = video_patches(video_BCTHW, geometry, target_BM).unflatten(-1, (3, -1))
    if targets.normalised:
        # The authors first bring pixels back to [0, 1]. The normalization undoes that scaling except for its epsilon,
        # which is therefore divided by the scale here. It is filled on the device: a copy from the host would wait for
        # all that the device still has to do.
        scale_C1 = torch.cat([voxels_BMCV.new_full((1, 1), std) for std in IMAGE_STD])
        voxels_BMCV = _normalize(voxels_BMCV, _EPS / scale_C1)
    frames_BMCTY: Tensor = voxels_BMCV.unflatten(-1, (geometry.tube_frames, -1))
    if targets.frame_difference:
        even, odd = frames_BMCTY[..., 0::2, :], frames_BMCTY[..., 1::2, :]
        even = even[..., : odd.shape[-2], :]
        frames_BMCTY = torch.stack((even, odd - even), -2).flatten(-3, -2)
    return frames_BMCTY.permute(0, 1, 3, 4, 2).flatten(2)


def audio_targets(
    audio_B1MF: Tensor, target_BM: Tensor, geometry: Geometry, targets: TargetConfig = PAPER_TARGETS
) -> Tensor:
    """Return the patches at `target_BM`, (B, M, P); normalized: each with mean 0 and (unbiased) deviation 1."""
    patches_BMP = audio_patches(audio_B1MF, geometry, target_BM)
    return _normalize(patches_BMP, _EPS) if targets.normalised else patches_BMP


def _normalize(x: Tensor, eps: Tensor | float) -> Tensor:
    variance, mean = torch.var_mean(x, -1, keepdim=True)  # unbiased, as in the authors' code
    return (x - mean) / (variance.sqrt() + eps)
