"""The stream: shards reach the trainer in the one global order, from any step on, in any world."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from avf_shards.errors import DeletedClipError, FaultError, UserError
from avf_shards.sampling.mixture import Mixture
from avf_shards.sampling.stream_order import EpochwiseOrder, StreamOrder, rank_steps
from avf_shards.timeline import SAMPLES_PER_FRAME
from torch.utils.data import IterableDataset, get_worker_info

from avf_training.data.batch import Batch, ClipFault
from avf_training.data.clip import Clip, SampledParams, decode_clip
from avf_training.data.decode import Planes
from avf_training.data.prefetch import read_ahead
from avf_training.data.reader import ClipReader, read_corpus
from avf_training.data.shared_buffers import SharedBuffers
from avf_training.data.storage import StorageConfig
from avf_training.data.windows import STRIDE
from avf_training.models.config import Geometry

_Read = Callable[[], Mapping[str, bytes]]
D = TypeVar("D", bound=SampledParams)
B_co = TypeVar("B_co", bound=Batch, covariant=True)
_ATTEMPTS = 8  # substitutes tried for one position before the run stops
_PART_CLIPS = 16  # clips a worker makes at once: small parts of a step keep its memory small, and all workers busy


@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """shards: folder or address. batch: clips of a global step, over all ranks. epochs: None is without end.

    max_fault_share: of a source's clips that may be unreadable before the run stops.
    """

    shards: Path | str
    batch: int
    seed: int = 0
    mix: Mixture = field(default_factory=Mixture)
    max_fault_share: float = 0.01
    epochs: int | None = None
    storage: StorageConfig = field(default_factory=StorageConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.max_fault_share <= 1:
            raise UserError(f"max_fault_share {self.max_fault_share} must lie between 0 and 1")
        if self.epochs is not None and self.epochs < 1:
            raise UserError(f"epochs {self.epochs} must be at least 1")


class StageSampler(Protocol[D, B_co]):
    """What a stage does with clips: `Pretraining` or `Finetuning`."""

    @property
    def geometry(self) -> Geometry: ...
    @property
    def reads_record(self) -> bool: ...

    def draw(self, digest: str, epoch: int, position: int, total_frames: int) -> D:
        """The choices for one clip, by its place alone."""
        ...

    def partners(self, positions: range, first: int, batch: int) -> tuple[int, ...]:
        """Position of the clip that each of `positions` is mixed with, in the step from `first` on; or nothing."""
        ...

    def batch(self, common: Batch, clips: list[Clip[D]], partners: list[int]) -> B_co:
        """The stage's batch of these rows; partners: row that each clip is mixed with."""
        ...


class ClipSource(Protocol):
    """Clips by number: a `ClipReader`, or several as one."""

    def key(self, clip: int) -> str:
        """Its key. Raises FaultError."""
        ...

    def read(self, clip: int) -> dict[str, bytes]:
        """Its files by extension. Raises FaultError."""
        ...


@dataclass(frozen=True, kw_only=True)
class MicroBatchPlan:
    """Positions that are made together: this rank's own, which each is mixed with, and those that only serve for it."""

    own: range
    partners: tuple[int, ...]
    others: tuple[int, ...]


class ClipStream(IterableDataset[B_co], Generic[D, B_co]):
    """A rank's steps from one on, in parts of a few clips. Workers take turns, so the loader gives parts in order.

    chosen: an order and the reader of its clips, in place of all that the config's shards hold, as its mix has them.
    """

    def __init__(
        self,
        config: StreamConfig,
        draws: StageSampler[D, B_co],
        world: int = 1,
        rank: int = 0,
        chosen: tuple[EpochwiseOrder, ClipSource] | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= rank < world:
            raise UserError(f"rank {rank} is not one of a world of {world}")
        self.config, self.draws, self.world, self.rank = config, draws, world, rank
        self.order: EpochwiseOrder
        self.reader: ClipSource
        if chosen is not None:
            self.order, self.reader = chosen
        else:
            self.order = StreamOrder(read_corpus(config.shards, config.storage), config.mix, config.seed)
            self.reader = ClipReader(config.shards, config.storage, self.order.corpus, draws.reads_record)
        next(
            rank_steps(self.order, 0, 1, batch=config.batch, world=world, rank=rank)
        )  # says now when the world does not divide
        self.start = 0  # position that the next iteration starts with
        self.slots = 0  # parts that a worker keeps memory for

    @property
    def end(self) -> int | None:
        """Clips of the whole stream; None without end. What does not fill a last step is not delivered."""
        return None if self.config.epochs is None else self.config.epochs * len(self.order)

    @property
    def parts(self) -> int:
        """Parts of one step of this rank."""
        return -(-self.config.batch // self.world // _PART_CLIPS)

    def __iter__(self) -> Iterator[B_co]:
        worker = get_worker_info()
        turn, turns = (worker.id, worker.num_workers) if worker else (0, 1)
        threads = self.config.storage.threads(self.config.shards)
        wanted = (position for part in self.plan(turn, turns) for position in chain(part.own, part.others))
        reads = read_ahead(wanted, self._read, threads)
        slots = SharedBuffers(self.slots)
        with closing(reads):
            for part in self.plan(turn, turns):
                yield self._batch(part, reads, slots)

    def plan(self, turn: int, turns: int) -> Iterator[MicroBatchPlan]:
        """The parts that worker `turn` of `turns` makes, from the stream's start on."""
        number, first, batch = 0, self.start, self.config.batch
        while self.end is None or first + batch <= self.end:
            (mine,) = rank_steps(self.order, first, 1, batch=batch, world=self.world, rank=self.rank)
            for at in range(0, len(mine), _PART_CLIPS):
                if number % turns == turn:
                    own = mine[at : at + _PART_CLIPS]
                    partners = self.draws.partners(own, first, batch)
                    yield MicroBatchPlan(
                        own=own, partners=partners, others=tuple(dict.fromkeys(n for n in partners if n not in own))
                    )
                number += 1
            first += batch

    def _batch(self, part: MicroBatchPlan, reads: Iterator[tuple[int, _Read]], slots: SharedBuffers) -> B_co:
        faults: list[ClipFault] = []
        rows = len(part.own) + len(part.others)
        found = [self._clip(*next(reads), faults, None)]
        kept_RTQW = slots.take(rows, found[0][2].planes_TRW.shape)
        planes_RTQW = kept_RTQW.numpy()  # to be decoded into
        planes_RTQW[0] = found[0][2].planes_TRW
        found += [self._clip(*next(reads), faults, planes_RTQW[row]) for row in range(1, rows)]
        keys = tuple(key for key, _, _ in found)
        clips = [clip for _, _, clip in found]
        _check_sizes(keys, clips)
        sound_RS = np.zeros((len(clips), self._sound_frames * SAMPLES_PER_FRAME), np.int16)
        for row, clip in zip(sound_RS, clips, strict=True):
            row[: len(clip.sound_S)] = clip.sound_S
        own = len(part.own)
        common = Batch(
            first=part.own.start,
            keys=keys[:own],
            sources=tuple(source for _, source, _ in found[:own]),
            planes_RTQW=kept_RTQW,
            full_range_R=torch.tensor([clip.full_range for clip in clips]),
            sound_RS=torch.from_numpy(sound_RS),
            samples_R=torch.tensor([len(clip.sound_S) for clip in clips]),
            faults=tuple(fault for fault in faults if self._at(fault.epoch, fault.position) in part.own),
        )
        row_of = {position: row for row, position in enumerate(chain(part.own, part.others))}
        return self.draws.batch(common, clips, [row_of[position] for position in part.partners])

    @property
    def _sound_frames(self) -> int:
        return self.draws.geometry.frames * STRIDE

    def _at(self, epoch: int, position: int) -> int:
        return epoch * len(self.order) + position

    def _read(self, at: int) -> Mapping[str, bytes]:
        """The files of the clip that the order has at a position. Raises FaultError."""
        clips, _ = self.order.at(at, at + 1)
        return self.reader.read(int(clips[0]))

    def _clip(self, at: int, read: _Read, faults: list[ClipFault], into: Planes | None) -> tuple[str, str, Clip[D]]:
        """(key, source, clip) at a position, or the substitute that always stands for it.

        Raises FaultError when none can be read.
        """
        epoch, position = divmod(at, len(self.order))
        clips, sources = self.order.at(at, at + 1)
        clip, source = int(clips[0]), int(sources[0])
        name = self.order.corpus.sources[source].name

        def draw(total_frames: int) -> D:
            return self.draws.draw(self.order.digest, epoch, position, total_frames)

        for attempt in range(1, _ATTEMPTS + 1):
            shard, place = self.order.corpus.place(clip)
            key = f"clip {place}"
            try:
                key = self.reader.key(clip)
                files = read() if attempt == 1 else self.reader.read(clip)
                return key, name, decode_clip(files, draw, self._sound_frames, into)
            except DeletedClipError:
                clip = self.order.substitute(source, epoch, position, attempt)  # no fault: it was asked for
            except FaultError as error:
                faults.append(
                    ClipFault(
                        source=name,
                        shard=self.order.corpus.shards[shard],
                        key=key,
                        epoch=epoch,
                        position=position,
                        error=str(error),
                    )
                )
                clip = self.order.substitute(source, epoch, position, attempt)
        last = faults[-1] if faults else "all of them deleted"
        raise FaultError(f"position {position} of epoch {epoch}: {_ATTEMPTS} clips in a row are unreadable: {last}")


def _check_sizes(keys: tuple[str, ...], clips: list[Clip[D]]) -> None:
    sizes = {clip.planes_TRW.shape[1:]: key for key, clip in zip(keys, clips, strict=True)}
    if len(sizes) > 1:
        told = ", ".join(f"{key} has {width} x {rows * 2 // 3} px" for (rows, width), key in sorted(sizes.items()))
        raise UserError(f"clips of one stream must have one size: {told}; curate them with one `clip.size_px`")
