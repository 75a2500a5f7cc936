"""Shared memory that a worker fills again and again: new memory for each batch costs as much as decoding it.

A worker's parts lie in `count` slots in turn. The loader makes `count` so large that a slot is filled anew only after
its last part was copied out (`buffers_needed`). Shapes: R rows, T frames, Q = 3H / 2 rows of planes, W width.
"""

import math

import torch
from torch import Tensor


def buffers_needed(ahead: int, parts_of_a_step: int, workers: int) -> int:
    """How many a worker needs that may be `ahead` parts ahead of what the loader took.

    torch asks a worker for its next part only when the loader has taken one of its parts; the loader holds those of the
    step that it is putting together.
    """
    return ahead + -(-parts_of_a_step // workers) + 1


class SharedBuffers:
    """Without slots (`count` 0) every array is new."""

    def __init__(self, count: int) -> None:
        self._count, self._taken = count, 0
        self._slots: list[Tensor] = []

    def take(self, rows: int, clip_shape: tuple[int, ...]) -> Tensor:
        """An array (R, T, Q, W) of uint8 to fill; its content is what was there."""
        shape = rows, *clip_shape
        if not self._count:
            return torch.empty(shape, dtype=torch.uint8)
        number, size = self._taken % self._count, math.prod(shape)
        self._taken += 1
        if number == len(self._slots):
            self._slots.append(torch.empty(size, dtype=torch.uint8).share_memory_())
        elif len(self._slots[number]) < size:
            self._slots[number] = torch.empty(size, dtype=torch.uint8).share_memory_()
        return self._slots[number][:size].view(shape)
