"""Stored planes to RGB on any device.

Shapes: B batch, T frames, H W picture, R = 3H / 2.
"""

import torch
from torch import Tensor


def rgb(planes_BTRW: Tensor, full_range_B: Tensor | None = None) -> Tensor:
    """4:2:0 planes, uint8, to RGB in [0, 1]: (B, 3, T, H, W) float32.

    BT.601; of limited range, as H.264 clips are stored, but where `full_range_B` says otherwise (JPEG). Chroma is
    taken from the nearest of its quarter-size planes.
    """
    batch, frames, rows, width = planes_BTRW.shape
    height = rows * 2 // 3
    full_B = torch.zeros(batch, device=planes_BTRW.device) if full_range_B is None else full_range_B.float()
    full_B1 = full_B.view(batch, 1, 1, 1)
    luma = planes_BTRW[:, :, :height].float()
    chroma = planes_BTRW[:, :, height:].reshape(batch, frames, 2, height // 2, width // 2).float() - 128
    u, v = chroma.repeat_interleave(2, -2).repeat_interleave(2, -1).unbind(2)
    y = (luma - 16 * (1 - full_B1)) * (1 + (255 / 219 - 1) * (1 - full_B1))
    scale = 1 + (255 / 224 - 1) * (1 - full_B1)
    red = y + 1.402 * scale * v
    green = y - 0.344136 * scale * u - 0.714136 * scale * v
    blue = y + 1.772 * scale * u
    return torch.stack((red, green, blue), 1).div_(255).clamp_(0, 1)
