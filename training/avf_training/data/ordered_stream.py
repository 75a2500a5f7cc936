"""The stream: clips or pictures of shards in the one global order, from any step on, in any world.

What a position of the stream becomes is decided by its kind: `ClipStream` decodes windows of clips, the frame-level
side's `PictureStream` single pictures. Here is what both share: which positions a worker of a rank makes, what is read
ahead, and what replaces an item that cannot be read. R rows of a part.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

from avf_shards.errors import DeletedClipError, FaultError, UserError
from avf_shards.sampling.mixture import Mixture
from avf_shards.sampling.stream_order import EpochwiseOrder, rank_steps
from avf_shards.text import count_noun
from torch.utils.data import IterableDataset, get_worker_info

from avf_training.data.batch import ClipFault, StreamBatch
from avf_training.data.prefetch import read_ahead
from avf_training.data.shared_buffers import SharedBuffers
from avf_training.data.storage import StorageConfig

Read = Callable[[], Mapping[str, bytes]]
Part_co = TypeVar("Part_co", bound=StreamBatch, covariant=True)
T = TypeVar("T")
_ATTEMPTS = 8  # items tried for one position before the run stops
_PART_ITEMS = 16  # that a worker decodes at once: small parts of a step need little memory and keep all workers busy
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """Settings of a stream: its shards, the mixture and order of the clips, and the size of a batch."""

    shards: Path | str  # folder or address
    batch: int  # clips of a global step, over all ranks
    seed: int = 0  # of the order
    mix: Mixture = field(default_factory=Mixture)  # shares of the sources
    max_fault_share: float = 0.01  # share of a source's clips that may be unreadable before the run stops
    epochs: int | None = None  # None: the stream has no end
    storage: StorageConfig = field(default_factory=StorageConfig)  # how the shards are read
    scored: bool = False  # its items are scored or drawn: those that cannot be read, of any share, are left out of that
    warns: bool = True  # of each item that cannot be read; False where rank 0 reads the same items and tells them

    def __post_init__(self) -> None:
        if not 0 <= self.max_fault_share <= 1:
            raise UserError(f"max_fault_share {self.max_fault_share} must lie between 0 and 1")
        if self.epochs is not None and self.epochs < 1:
            raise UserError(f"epochs {self.epochs} must be at least 1")


class ClipSource(Protocol):
    """Clips or pictures by number: a `ClipReader`, or several that act as one."""

    def key(self, clip: int) -> str:
        """Return the key of a clip. Raises FaultError."""
        ...

    def read(self, clip: int) -> dict[str, bytes]:
        """Return the files of a clip by extension. Raises FaultError."""
        ...


@dataclass(frozen=True, kw_only=True)
class BatchPart:
    """Positions whose items one worker decodes together: a part of a rank's batch."""

    own: range  # positions of this rank
    partners: tuple[int, ...]  # position that each of them is mixed with
    extra: tuple[int, ...]  # partners outside this part, decoded only to be mixed in

    @property
    def rows(self) -> int:
        """Return R: all items that are decoded."""
        return len(self.own) + len(self.extra)


class StreamPosition(NamedTuple):
    """A position of the stream, on which alone everything random of its item depends."""

    digest: str  # of the order
    epoch: int
    position: int  # in the epoch


class LoadedItem(NamedTuple, Generic[T]):
    """What the stream has at a position."""

    key: str
    source: str  # name of the corpus
    content: T  # decoded


class OrderedStream(IterableDataset[Part_co], ABC, Generic[Part_co]):
    """Iterable dataset of one rank.

    Each step is cut into parts of at most 16 items. Worker w of n produces parts w, w + n, ..., so that the loader,
    which takes from its workers in turn, restores their order.
    """

    def __init__(
        self, config: StreamConfig, order: EpochwiseOrder, reader: ClipSource, world: int = 1, rank: int = 0
    ) -> None:
        """Take an order and the reader of its items.

        Raises UserError where the world does not divide the batch.
        """
        super().__init__()
        self.noun = order.corpus.noun  # what an item is called in messages
        self._readable: int | None = None  # last item that could be read
        if not 0 <= rank < world:
            raise UserError(f"rank {rank} is not one of a world of {world}")
        self.config, self.order, self.reader, self.world, self.rank = config, order, reader, world, rank
        # Raises now, not at the first step, if the world does not divide the batch.
        next(rank_steps(self.order, 0, 1, batch=config.batch, world=world, rank=rank))
        self.start = 0  # position with which the next iteration starts
        self.buffers = 0  # parts for which a worker keeps memory; 0: new memory for each

    @property
    @abstractmethod
    def window_s(self) -> float:
        """Seconds of one model input; 0 for pictures."""

    @abstractmethod
    def make_part(self, part: BatchPart, reads: Iterator[tuple[int, Read]], buffers: SharedBuffers) -> Part_co:
        """Return the batch of a part, from the reads of its own positions and then of the extra ones."""

    def partner_positions(self, positions: range) -> tuple[int, ...]:
        """Return the position that each of `positions` is mixed with; () for no mixing."""
        return ()

    @property
    def end(self) -> int | None:
        """Items of the stream; None if it has no end. Items that do not fill a last step are not delivered."""
        return None if self.config.epochs is None else self.config.epochs * len(self.order)

    @property
    def parts_per_step(self) -> int:
        """Parts into which this rank's items of one step are cut."""
        return -(-self.config.batch // self.world // _PART_ITEMS)

    def __iter__(self) -> Iterator[Part_co]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        threads = self.config.storage.read_ahead_threads(self.config.shards)
        log.debug("worker %d of %d: from position %d on, %d read-ahead threads", worker, workers, self.start, threads)
        positions = (position for part in self.plan(worker, workers) for position in chain(part.own, part.extra))
        reads = read_ahead(positions, self._read_position, threads)
        buffers = SharedBuffers(self.buffers)
        with closing(reads):
            for part in self.plan(worker, workers):
                yield self.make_part(part, reads, buffers)

    def plan(self, worker: int, workers: int) -> Iterator[BatchPart]:
        """Yield the parts that worker `worker` of `workers` makes, from the stream's start on."""
        number, first, batch = 0, self.start, self.config.batch
        while self.end is None or first + batch <= self.end:
            (positions,) = rank_steps(self.order, first, 1, batch=batch, world=self.world, rank=self.rank)
            for offset in range(0, len(positions), _PART_ITEMS):
                # The parts are numbered through all steps, not within one: torch takes from its workers in turn.
                if number % workers == worker:
                    own = positions[offset : offset + _PART_ITEMS]
                    partners = self.partner_positions(own)
                    extra = tuple(dict.fromkeys(n for n in partners if n not in own))
                    yield BatchPart(own=own, partners=partners, extra=extra)
                number += 1
            first += batch

    def own_faults(self, part: BatchPart, faults: list[ClipFault]) -> tuple[ClipFault, ...]:
        """Return the faults of a part's own positions.

        A fault of an extra item is reported by the part, maybe of another rank, that has the item as its own.
        """
        return tuple(fault for fault in faults if fault.epoch * len(self.order) + fault.position in part.own)

    def load(
        self,
        stream_position: int,
        read: Read,
        faults: list[ClipFault],
        decode: Callable[[Mapping[str, bytes], StreamPosition], T],
    ) -> LoadedItem[T]:
        """Return the item at a position, or the substitute that always replaces it.

        Of a stream that is scored the substitute only fills the row, so any item that can be read will do, and its
        own faults are not added.

        Raises FaultError when no substitute can be read either.

        Args:
            stream_position: counted from the start of the first epoch.
            read: returns the files of the item that the order has there.
            faults: unreadable items are added to it.
            decode: returns what the stream has of an item; raises FaultError for one that cannot be decoded.
        """
        epoch, position = divmod(stream_position, len(self.order))
        clips, sources = self.order.clips_between(stream_position, stream_position + 1)
        own, source = int(clips[0]), int(sources[0])
        name, where = self.order.corpus.sources[source].name, StreamPosition(self.order.digest, epoch, position)
        last: ClipFault | None = None
        for attempt, clip in enumerate(chain([own], self._substitutes(source, epoch, position))):
            shard, number = self.order.corpus.locate(clip)
            key = f"{self.noun} {number}"
            try:
                key = self.reader.key(clip)
                files = self.reader.read(clip) if attempt else read()
                item = LoadedItem(key, name, decode(files, where))
            except DeletedClipError:  # not a fault: the clip was deleted on request
                continue
            except FaultError as error:
                last = ClipFault(
                    source=name,
                    shard=self.order.corpus.shards[shard],
                    key=key,
                    epoch=epoch,
                    position=position,
                    error=str(error),
                )
                if not (attempt and self.config.scored):
                    faults.append(last)
                continue
            self._readable = clip
            return item
        raise self._describe_unreadable(epoch, position, last)

    def _substitutes(self, source: int, epoch: int, position: int) -> Iterator[int]:
        """Yield the items that are tried for a position after its own."""
        if not self.config.scored:
            yield from (self.order.substitute(source, epoch, position, attempt) for attempt in range(1, _ATTEMPTS))
            return
        if self._readable is not None:
            yield self._readable
        for offset in range(1, len(self.order)):
            yield int(self.order.epoch(epoch).clip_P[(position + offset) % len(self.order)])

    def _describe_unreadable(self, epoch: int, position: int, last: ClipFault | None) -> FaultError:
        why = "all of them were deleted"
        if last is not None:
            why = f"the last is {last.key} of {last.source} in {last.shard}: {last.error}"
        if self.config.scored:
            return FaultError(f"none of {count_noun(len(self.order), self.noun)} to look at can be read: {why}")
        return FaultError(
            f"position {position} of epoch {epoch}: {_ATTEMPTS} {self.noun}s in a row are unreadable: {why}"
        )

    def _read_position(self, position: int) -> Mapping[str, bytes]:
        """Return the files of the item that the order has at a position of the stream. Raises FaultError."""
        clips, _ = self.order.clips_between(position, position + 1)
        return self.reader.read(int(clips[0]))
