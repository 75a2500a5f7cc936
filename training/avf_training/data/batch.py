"""The data that all batches of a stream have in common, those of clips, and functions to concatenate and move batches.

Shapes: B clips of this rank in a batch, R rows (the clips and those that only serve as mixing partners), T frames,
Q = 3H / 2 rows of planes, W width, S samples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate
from typing import Any, TypeVar

import torch
from torch import Tensor

from avf_training.models.masks import Masks

B = TypeVar("B", bound="StreamBatch")

ROW_NUMBERS = {"row_numbers": True}  # field metadata: row numbers that are shifted when batches are concatenated


@dataclass(frozen=True, kw_only=True)
class ClipFault:
    """A clip that could not be read, and the position at which the stream needed it."""

    source: str  # name of the corpus
    shard: str  # file name
    key: str  # of the clip
    epoch: int  # of the stream, from 0
    position: int  # in the epoch
    error: str  # why it could not be read


@dataclass(frozen=True, kw_only=True)
class StreamBatch:
    """What a batch of any stream has: the loader, the train step and the counts of deliveries need no more."""

    first_position: int  # of the first item, counted from the start of the stream over all epochs
    keys: tuple[str, ...]  # of the B items
    sources: tuple[str, ...]  # of the B items
    faults: tuple[ClipFault, ...]  # unreadable items that were replaced in this batch

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def rows(self) -> int:
        """Return R: the items, and those that only serve as mixing partners."""
        return len(self)

    @property
    def buffer(self) -> Tensor:
        """Return the tensor in the memory that a worker fills again."""
        raise NotImplementedError  # each kind of batch names its own tensor

    def pin_memory(self: B) -> B:
        """Return a copy in pinned memory, from which a GPU copies by itself. torch's DataLoader calls this method."""
        return _map_tensors(self, lambda tensor: tensor.pin_memory())

    def to(self: B, device: torch.device | str) -> B:
        """Return the batch with its tensors on `device`; a copy from pinned memory is not waited for."""
        return _map_tensors(self, lambda tensor: tensor.to(device, non_blocking=True))

    def record_stream(self, stream: torch.cuda.Stream) -> None:
        """Tell the CUDA allocator that `stream` uses these tensors, which another stream has allocated."""

        def record(tensor: Tensor) -> Tensor:
            tensor.record_stream(stream)
            return tensor

        _map_tensors(self, record)


@dataclass(frozen=True, kw_only=True)
class Batch(StreamBatch):
    """This rank's clips of one step, with video and audio as stored."""

    planes_RTQW: Tensor  # uint8 yuv420p planes
    full_range_R: Tensor  # bool: full-range planes (JPEG), else limited range (H.264)
    waveform_RS: Tensor  # int16, 16 kHz mono; 0 after the clip's end
    samples_R: Tensor  # how many samples of each row are the clip's own

    @property
    def rows(self) -> int:
        return len(self.samples_R)

    @property
    def buffer(self) -> Tensor:
        return self.planes_RTQW


def _map_tensors(batch: B, transform: Callable[[Tensor], Tensor]) -> B:
    changed: dict[str, Any] = {}
    for name, value in vars(batch).items():
        if isinstance(value, Tensor):
            changed[name] = transform(value)
        elif isinstance(value, Masks):
            changed[name] = Masks(*map(transform, value))
    return replace(batch, **changed)


def concat_batches(parts: Sequence[B], copy: bool = False) -> B:
    """Concatenate the parts of one step, in order, to one batch.

    copy: put the result in memory of its own even when there is only one part.
    """
    first, *rest = parts
    if not rest:
        return _map_tensors(first, torch.clone) if copy else first
    starts = list(accumulate((part.rows for part in parts[:-1]), initial=0))
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
            changed[field.name] = tuple(item for value in values for item in value)
    return replace(first, **changed)
