"""Shared memory that a worker fills again and again: new memory for each batch costs as much as decoding it.

A worker puts its parts into its buffers in turn. The loader gives it so many buffers that one is filled again only
after its previous part was copied out (`buffers_needed`). Shapes: R rows, T frames, Q = 3H / 2 rows of planes, W width.
"""

import math

import torch
from torch import Tensor

from avf_training.data.shared_memory import check_space


def buffers_needed(prefetch: int, parts_per_step: int, workers: int) -> int:
    """Return the number of buffers of a worker that may be `prefetch` parts ahead of what the loader took.

    torch asks a worker for its next part only when the loader has taken one of its parts, and the loader holds the
    parts of the step that it is putting together. One more buffer is being filled meanwhile.
    """
    return prefetch + -(-parts_per_step // workers) + 1


class SharedBuffers:
    """Reusable shared-memory buffers of one worker. With `count` 0 every array is newly allocated."""

    def __init__(self, count: int) -> None:
        self._count, self._taken = count, 0
        self._buffers: list[Tensor] = []

    def take(self, rows: int, clip_shape: tuple[int, ...]) -> Tensor:
        """Return an uint8 array (R, T, Q, W) to fill; its content is undefined. Raises UserError without the memory."""
        shape = rows, *clip_shape
        if not self._count:
            return torch.empty(shape, dtype=torch.uint8)
        number, size = self._taken % self._count, math.prod(shape)
        self._taken += 1
        if number == len(self._buffers):
            self._buffers.append(_share(size))
        elif len(self._buffers[number]) < size:
            self._buffers[number] = _share(size)
        return self._buffers[number][:size].view(shape)


def _share(size: int) -> Tensor:
    check_space(size)
    buffer = torch.empty(size, dtype=torch.uint8)
    buffer.share_memory_()
    return buffer
