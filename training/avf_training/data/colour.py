"""Stored planes to RGB on any device.

Shapes: B batch, T frames, H W picture, Q = 3H / 2 rows of planes.
"""

import torch
from torch import Tensor


def split(planes_BTQW: Tensor) -> tuple[Tensor, Tensor]:
    """4:2:0 planes, uint8, to floats: luma (B, 1, T, H, W) and chroma (B, 2, T, H / 2, W / 2)."""
    batch, frames, rows, width = planes_BTQW.shape
    height = rows * 2 // 3
    luma = planes_BTQW[:, None, :, :height].float()
    chroma = planes_BTQW[:, :, height:].reshape(batch, frames, 2, height // 2, width // 2)
    return luma, chroma.transpose(1, 2).float()


def rgb(luma_B1THW: Tensor, chroma_B2THW: Tensor, full_range_B: Tensor) -> Tensor:
    """Luma and chroma of one size, 0 to 255, to RGB in [0, 1]: (B, 3, T, H, W).

    BT.601; of limited range, as H.264 clips are stored, but where `full_range_B` says otherwise (JPEG).
    """
    limited = 1 - full_range_B.to(luma_B1THW).view(-1, 1, 1, 1, 1)
    y = (luma_B1THW[:, 0] - 16 * limited[:, 0]) * ((1 + (255 / 219 - 1) * limited[:, 0]) / 255)
    u, v = ((chroma_B2THW - 128) * ((1 + (255 / 224 - 1) * limited) / 255)).unbind(1)
    made = torch.stack((y, y, y), 1)
    made[:, 0].add_(v, alpha=1.402)
    made[:, 1].sub_(u, alpha=0.344136).sub_(v, alpha=0.714136)
    made[:, 2].add_(u, alpha=1.772)
    return made.clamp_(0, 1)
