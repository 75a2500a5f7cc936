"""What is to be reconstructed: patches, normalised one by one or as they are, and the motion inside each tube.

Shapes: B batch, M patches to reconstruct, P values of a patch, T frames of a tube, V voxels of a patch, C channels.
"""

import torch
from torch import Tensor

from avf_training.models.config import Geometry, TargetConfig
from avf_training.models.inputs import IMAGE_STD
from avf_training.models.patch_embed import audio_patches, video_patches

_EPS = 1e-6
PAPERS = TargetConfig()


def video_targets(video_BCTHW: Tensor, target_BM: Tensor, geometry: Geometry, targets: TargetConfig = PAPERS) -> Tensor:
    """Tubes at `target_BM`, flattened as (frame, row, column, channel): (B, M, P).

    video_BCTHW: normalised by the ImageNet mean and deviation. targets.normalised: each tube and channel is brought to
    mean 0 and (unbiased) deviation 1. targets.frame_difference: every odd frame of a tube becomes its difference to the
    one before (HiCMAE's code).
    """
    voxels_BMCV = video_patches(video_BCTHW, geometry, target_BM).unflatten(-1, (3, -1))
    if targets.normalised:
        # The authors first bring pixels back to [0, 1]. Normalising undoes that again, but for its eps, which grows.
        voxels_BMCV = _normalised(voxels_BMCV, _EPS / voxels_BMCV.new_tensor(IMAGE_STD).view(3, 1))
    normed: Tensor = voxels_BMCV.unflatten(-1, (geometry.tube_frames, -1))
    if targets.frame_difference:
        even, odd = normed[..., 0::2, :], normed[..., 1::2, :]
        normed = torch.stack((even[..., : odd.shape[-2], :], odd - even[..., : odd.shape[-2], :]), -2).flatten(-3, -2)
    return normed.permute(0, 1, 3, 4, 2).flatten(2)


def audio_targets(audio_B1MF: Tensor, target_BM: Tensor, geometry: Geometry, targets: TargetConfig = PAPERS) -> Tensor:
    """Patches at `target_BM`; normalised: each brought to mean 0 and (unbiased) deviation 1: (B, M, P)."""
    patches_BMP = audio_patches(audio_B1MF, geometry, target_BM)
    return _normalised(patches_BMP, _EPS) if targets.normalised else patches_BMP


def _normalised(x: Tensor, eps: Tensor | float) -> Tensor:
    variance, mean = torch.var_mean(x, -1, keepdim=True)
    return (x - mean) / (variance.sqrt() + eps)
