"""Frames of padded clips: which count, and modules that see them alone.

Shapes: B clips, T frames, C channels. `valid_BT` is True where a clip has a frame, None where all have.
"""

from torch import Tensor, nn


def apply_to_valid(module: nn.Module, x_BTC: Tensor, valid_BT: Tensor | None) -> Tensor:
    """Return what a module of (N, C) -> (N, D) makes of the frames that count, and zeros elsewhere, (B, T, D).

    Statistics of a batch norm are those of the frames that count, whatever a batch was padded to.
    """
    if valid_BT is None:
        out_ND: Tensor = module(x_BTC.flatten(0, 1))
        return out_ND.reshape(*x_BTC.shape[:2], -1)
    out_ND = module(x_BTC[valid_BT])
    out_BTD = out_ND.new_zeros((*x_BTC.shape[:2], out_ND.shape[-1]))
    out_BTD[valid_BT] = out_ND
    return out_BTD


def mean_of_valid(x_BTC: Tensor, valid_BT: Tensor | None) -> Tensor:
    """Return the mean over the frames that count, (B, 1, C); zeros for a clip without any."""
    if valid_BT is None:
        return x_BTC.mean(1, keepdim=True)
    weights_BT1 = valid_BT[..., None].to(x_BTC.dtype)
    return (x_BTC * weights_BT1).sum(1, keepdim=True) / weights_BT1.sum(1, keepdim=True).clamp_min(1)
