"""Stored yuv420p planes to RGB on any device.

Shapes: B clips, T frames, H W height and width, Q = 3H / 2 rows of planes.
"""

import torch
from torch import Tensor


def split_planes(planes_BTQW: Tensor) -> tuple[Tensor, Tensor]:
    """Split uint8 4:2:0 planes into floats: luma (B, 1, T, H, W) and chroma (B, 2, T, H / 2, W / 2)."""
    batch, frames, rows, width = planes_BTQW.shape
    height = rows * 2 // 3
    luma = planes_BTQW[:, None, :, :height].float()
    chroma = planes_BTQW[:, :, height:].reshape(batch, frames, 2, height // 2, width // 2)
    return luma, chroma.transpose(1, 2).float()


def planes_to_rgb(luma_B1THW: Tensor, chroma_B2THW: Tensor, full_range_B: Tensor) -> Tensor:
    """Convert luma and chroma of equal size, in [0, 255], to RGB in [0, 1], (B, 3, T, H, W).

    The matrix is BT.601. Clips are of limited range (H.264) except where `full_range_B` is true (JPEG).
    """
    # Limited range: luma spans 16 to 235 (219 steps), chroma 16 to 240 (224 steps).
    limited = 1 - full_range_B.to(luma_B1THW).view(-1, 1, 1, 1, 1)
    y = (luma_B1THW[:, 0] - 16 * limited[:, 0]) * ((1 + (255 / 219 - 1) * limited[:, 0]) / 255)
    u, v = ((chroma_B2THW - 128) * ((1 + (255 / 224 - 1) * limited) / 255)).unbind(1)
    rgb_B3THW = torch.stack((y, y, y), 1)
    # In place: one more float copy of all frames would double the memory of the largest tensor of the pipeline.
    rgb_B3THW[:, 0].add_(v, alpha=1.402)
    rgb_B3THW[:, 1].sub_(u, alpha=0.344136).sub_(v, alpha=0.714136)
    rgb_B3THW[:, 2].add_(u, alpha=1.772)
    return rgb_B3THW.clamp_(0, 1)
