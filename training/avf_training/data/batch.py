"""What every batch of a stream has, and how batches are joined and moved.

Shapes: B clips of this rank in a batch, R rows: those and the ones only needed to mix with, T frames, Q = 3H / 2 rows
of planes, W width, S samples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate
from typing import Any, TypeVar

import torch
from torch import Tensor

from avf_training.models.masks import Masks

B = TypeVar("B", bound="Batch")


ROW_NUMBERS = {"row_numbers": True}  # marks a field that counts rows from the start of its batch


@dataclass(frozen=True, kw_only=True)
class ClipFault:
    """A clip that could not be read, and where the stream met it."""

    source: str
    shard: str
    key: str
    epoch: int
    position: int
    error: str


@dataclass(frozen=True, kw_only=True)
class Batch:
    """This rank's part of one step: planes and sound as stored.

    first: position of its first clip, counted from the start of the stream over all epochs. keys and sources: of the
    B clips. full_range_R: JPEG planes. samples_R: how much of the sound is the clip's; the rest is 0.
    """

    first: int
    keys: tuple[str, ...]
    sources: tuple[str, ...]
    planes_RTQW: Tensor
    full_range_R: Tensor
    sound_RS: Tensor
    samples_R: Tensor
    faults: tuple[ClipFault, ...]

    def __len__(self) -> int:
        return len(self.keys)

    def pin_memory(self: B) -> B:
        """A copy that a GPU can fetch by itself; torch's DataLoader calls it."""
        return _each_tensor(self, lambda tensor: tensor.pin_memory())

    def to(self: B, device: torch.device | str) -> B:
        """The batch with its tensors on `device`; from pinned memory without waiting for the copy."""
        return _each_tensor(self, lambda tensor: tensor.to(device, non_blocking=True))

    def keep_for(self, stream: torch.cuda.Stream) -> None:
        """Tell the allocator that `stream` uses these tensors, which another one made."""

        def keep(tensor: Tensor) -> Tensor:
            tensor.record_stream(stream)
            return tensor

        _each_tensor(self, keep)


def _each_tensor(batch: B, work: Callable[[Tensor], Tensor]) -> B:
    changed: dict[str, Any] = {}
    for name, value in vars(batch).items():
        if isinstance(value, Tensor):
            changed[name] = work(value)
        elif isinstance(value, Masks):
            changed[name] = Masks(*map(work, value))
    return replace(batch, **changed)


def concat_batches(parts: Sequence[B], copied: bool = False) -> B:
    """Parts of one step, in order, as one batch. copied: in memory of its own, also where there is one part only."""
    first, *more = parts
    if not more:
        return _each_tensor(first, torch.clone) if copied else first
    starts = list(accumulate((len(part.samples_R) for part in parts[:-1]), initial=0))
    changed: dict[str, Any] = {}
    for field in fields(first):
        values = [getattr(part, field.name) for part in parts]
        if isinstance(values[0], Masks):
            changed[field.name] = Masks(*map(torch.cat, zip(*values, strict=True)))
        elif field.metadata == ROW_NUMBERS:
            changed[field.name] = torch.cat([value + start for value, start in zip(values, starts, strict=True)])
        elif isinstance(values[0], Tensor):
            changed[field.name] = torch.cat(values)
        elif isinstance(values[0], tuple):
            changed[field.name] = tuple(one for value in values for one in value)
    return replace(first, **changed)
