"""Tubes and patches become tokens; fixed sin-cos positions (HiCMAE 3.1).

Shapes: B batch, N tokens, P values of a patch, C width, T frames, H W picture, M mel frames, F mels.
"""

import torch
from torch import Tensor, nn

from avf_training.models.config import Geometry


def sincos_table(tokens: int, width: int) -> Tensor:
    """Positions of the flattened token index p, (N, C) float32.

    Channel j is the sine (j even) or cosine (j odd) of p / 10000^(2 (j // 2) / C), computed in float64.
    """
    place_N1 = torch.arange(tokens, dtype=torch.float64)[:, None]
    pair_C = torch.div(torch.arange(width, dtype=torch.float64), 2, rounding_mode="floor")
    angle_NC = place_N1 / torch.pow(10_000.0, 2 * pair_C / width)
    angle_NC[:, 0::2] = angle_NC[:, 0::2].sin()
    angle_NC[:, 1::2] = angle_NC[:, 1::2].cos()
    return angle_NC.float()


def video_patches(video_BCTHW: Tensor, geometry: Geometry, index_BM: Tensor) -> Tensor:
    """Tubes by their raster index (time, height, width), each as (channel, frame, row, column): (B, M, P).

    Only what is asked for is read: of masked tubes the encoder touches nothing. index_BM may have one row for all.
    """
    time, height, width = geometry.video_grid
    t, p = geometry.tube_frames, geometry.patch_px
    cut = video_BCTHW.reshape(-1, 3, time, t, height, p, width, p)
    clip_B1 = torch.arange(cut.shape[0], device=index_BM.device)[:, None]
    at = index_BM // (height * width), index_BM // width % height, index_BM % width
    return cut[clip_B1, :, at[0], :, at[1], :, at[2]].flatten(2)


def audio_patches(audio_B1MF: Tensor, geometry: Geometry, index_BM: Tensor) -> Tensor:
    """Patches by their raster index (time, frequency), each as (mel frame, mel): (B, M, P). index_BM: see above."""
    time, frequency = geometry.audio_grid
    p = geometry.mel_patch
    cut = audio_B1MF.reshape(-1, time, p, frequency, p)
    clip_B1 = torch.arange(cut.shape[0], device=index_BM.device)[:, None]
    return cut[clip_B1, index_BM // frequency, :, index_BM % frequency].flatten(2)


class PatchEmbed(nn.Module):
    """One linear map of each patch, kept in the shape of the convolution it is (kernel = stride = patch)."""

    def __init__(self, proj: nn.Conv3d | nn.Conv2d) -> None:
        super().__init__()
        self.proj = proj

    def forward(self, patches_BNP: Tensor) -> Tensor:
        """(B, N, C). Only the patches that are given are computed: masked ones cost nothing."""
        return nn.functional.linear(patches_BNP, self.proj.weight.flatten(1), self.proj.bias)


def video_embed(geometry: Geometry, width: int) -> PatchEmbed:
    tube = geometry.tube_frames, geometry.patch_px, geometry.patch_px
    return PatchEmbed(nn.Conv3d(3, width, tube, tube))


def audio_embed(geometry: Geometry, width: int) -> PatchEmbed:
    return PatchEmbed(nn.Conv2d(1, width, geometry.mel_patch, geometry.mel_patch))
