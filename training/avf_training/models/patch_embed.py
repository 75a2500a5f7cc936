"""Embedding of video tubes and audio patches, and fixed sin-cos positions (HiCMAE 3.1.1).

Shapes: B batch, N tokens, P values of a patch, C width, T frames, H W height and width, M mel frames (or
tokens, of an index), F mel bands.
"""

import torch
from torch import Tensor, nn

from avf_training.models.config import Geometry


def sincos_table(tokens: int, width: int) -> Tensor:
    """Return the position embeddings of the flattened token index p, (N, C) float32.

    Channel j is the sine (j even) or cosine (j odd) of p / 10000^(2 (j // 2) / C). It is computed in float64 as by the
    authors: float32 angles would differ in the last digits.
    """
    index_N1 = torch.arange(tokens, dtype=torch.float64)[:, None]
    pair_C = torch.div(torch.arange(width, dtype=torch.float64), 2, rounding_mode="floor")
    angle_NC = index_N1 / torch.pow(10_000.0, 2 * pair_C / width)
    angle_NC[:, 0::2] = angle_NC[:, 0::2].sin()
    angle_NC[:, 1::2] = angle_NC[:, 1::2].cos()
    return angle_NC.float()


def video_patches(video_BCTHW: Tensor, geometry: Geometry, index_BM: Tensor) -> Tensor:
    """Return tubes by their raster index (time, height, width), flattened as (channel, frame, row, column): (B, M, P).

    Only the tubes asked for are copied. index_BM may have one row for all clips.
    """
    time, height, width = geometry.video_grid
    t, p = geometry.tube_frames, geometry.patch_px
    cut = video_BCTHW.reshape(-1, 3, time, t, height, p, width, p)
    clip_B1 = torch.arange(cut.shape[0], device=index_BM.device)[:, None]
    t_BM, y_BM, x_BM = index_BM // (height * width), index_BM // width % height, index_BM % width
    return cut[clip_B1, :, t_BM, :, y_BM, :, x_BM].flatten(2)


def audio_patches(audio_B1MF: Tensor, geometry: Geometry, index_BM: Tensor) -> Tensor:
    """Return patches by their raster index (time, frequency), each flattened as (mel frame, mel band): (B, M, P).

    index_BM may have one row for all clips.
    """
    time, frequency = geometry.audio_grid
    p = geometry.mel_patch
    cut = audio_B1MF.reshape(-1, time, p, frequency, p)
    clip_B1 = torch.arange(cut.shape[0], device=index_BM.device)[:, None]
    return cut[clip_B1, index_BM // frequency, :, index_BM % frequency].flatten(2)


class PatchEmbed(nn.Module):
    """One linear map of each patch. Its weight has the shape of a convolution with kernel = stride = patch."""

    def __init__(self, proj: nn.Conv3d | nn.Conv2d) -> None:
        super().__init__()
        self.proj = proj

    def forward(self, patches_BNP: Tensor) -> Tensor:
        """Return (B, N, C). Masked patches are not given and cost nothing, which a convolution could not skip."""
        return nn.functional.linear(patches_BNP, self.proj.weight.flatten(1), self.proj.bias)


def video_embed(geometry: Geometry, width: int) -> PatchEmbed:
    """Return the embedding of video tubes."""
    tube = geometry.tube_frames, geometry.patch_px, geometry.patch_px
    return PatchEmbed(nn.Conv3d(3, width, tube, tube))


def audio_embed(geometry: Geometry, width: int) -> PatchEmbed:
    """Return the embedding of spectrogram patches."""
    return PatchEmbed(nn.Conv2d(1, width, geometry.mel_patch, geometry.mel_patch))
