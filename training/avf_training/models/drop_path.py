"""Stochastic depth (drop path) whose draws are a pure function of the clip's position, like every other draw.

A residual branch of a clip is dropped or not by (key of the clip, layer, branch, row of the clip) alone: not by the
rank, the number of ranks, the size of a micro-batch, or how often the run was stopped. A layer that treats the regions
or tokens of a clip as rows of its own draws for each of them.

The draws of all layers are made at once: on a GPU a hash is two dozen small kernels, and each waits for the host.

Shapes: B clips, R rows (B times the rows of a clip), L layers.
"""

import hashlib

import torch
from torch import Tensor, nn

_BITS = 0xFFFFFFFF  # hashes have 32 bits, and are kept in int64: torch has no arithmetic of uint32


class DropPathDraws:
    """A hash of 32 bits for each layer, branch and row of the clips of a batch."""

    def __init__(self, keys_B: Tensor, layers: int) -> None:
        """Take the keys.

        Args:
            keys_B: int64 below 2^32, one for each clip of the batch.
            layers: how many layers draw; their numbers are below it.
        """
        self.keys_B, self.layers = keys_B, layers
        self._drawn: dict[tuple[int, int], Tensor] = {}  # (branch, rows) -> (L, R)

    def draw(self, layer: int, branch: int, rows: int) -> Tensor:
        """Return the hashes of a branch of a layer, (R,). Raises ValueError where R is no multiple of the clips."""
        if rows % len(self.keys_B):
            raise ValueError(f"{rows} rows are no multiple of {len(self.keys_B)} clips")
        if (branch, rows) not in self._drawn:
            self._drawn[branch, rows] = self._draw_layers(branch, rows // len(self.keys_B))
        return self._drawn[branch, rows][layer]

    def _draw_layers(self, branch: int, rows_of_clip: int) -> Tensor:
        device = self.keys_B.device
        layer_L = torch.arange(self.layers, device=device)
        row_S = torch.arange(rows_of_clip, device=device)
        site_LB = _hash(self.keys_B ^ _hash(layer_L * 2**8 + branch)[:, None])
        return _hash(site_LB[..., None] ^ _hash(row_S + 1)).flatten(1)


class DropPath(nn.Module):
    """Drops the residual branch of single rows with probability `rate` while training, and scales the other rows.

    Without keys (`set_drop_path_keys`) the rows are drawn from torch's generator, as in other libraries.
    """

    draws: DropPathDraws | None = None  # of the clips that the model computes next, shared by all its layers

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"drop path rate {rate} must be at least 0 and less than 1")
        self.rate = rate
        self.layer = 0  # number of this module in its model, given by `number_drop_paths`

    def forward(self, x: Tensor, branch: int) -> Tensor:
        """Return x (R, ...) with the dropped rows zero. `branch` tells apart the residual branches of one layer.

        Raises ValueError where R is no multiple of the number of keys.
        """
        if not self.rate or not self.training:
            return x
        if self.draws is None:
            keep_R = torch.rand(len(x), device=x.device) >= self.rate
        else:
            keep_R = self.draws.draw(self.layer, branch, len(x)) >= int(self.rate * 2**32)
        scale_R = keep_R.to(x.dtype) / (1 - self.rate)
        return x * scale_R.view(-1, *[1] * (x.dim() - 1))


def number_drop_paths(model: nn.Module) -> None:
    """Number the drop-path modules of a model, so that each draws for itself."""
    for number, module in enumerate(module for module in model.modules() if isinstance(module, DropPath)):
        module.layer = number


def set_drop_path_keys(model: nn.Module, keys_B: Tensor) -> None:
    """Give the drop-path modules of a model the keys of the clips that it computes next."""
    modules = [module for module in model.modules() if isinstance(module, DropPath)]
    draws = DropPathDraws(keys_B, 1 + max((module.layer for module in modules), default=0))
    for module in modules:
        module.draws = draws


def drop_path_keys(seed: int, first_position: int, clips: int) -> Tensor:
    """Return a key for each of the clips from `first_position` of the stream on, (B,) int64 below 2^32."""
    names = (f"drop path/{seed}/{first_position + number}" for number in range(clips))
    return torch.tensor([int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) for name in names])


def _hash(x: Tensor) -> Tensor:
    """Return a hash of 32 bits of each number of a tensor: multiplications and shifts mix all bits."""
    x = x & _BITS
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & _BITS
    x = ((x ^ (x >> 15)) * 0x846CA68B) & _BITS
    return x ^ (x >> 16)
