"""The stream: clips of shards in the one global order, from any step on, in any world."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from avf_shards.errors import DeletedClipError, FaultError, UserError
from avf_shards.sampling.mixture import Mixture
from avf_shards.sampling.stream_order import EpochwiseOrder, StreamOrder, rank_steps
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLES_PER_FRAME
from torch.utils.data import IterableDataset, get_worker_info

from avf_training.data.batch import Batch, ClipFault
from avf_training.data.clip import Clip, SampledParams, decode_clip
from avf_training.data.decode import Planes
from avf_training.data.prefetch import read_ahead
from avf_training.data.reader import ClipReader, read_corpus
from avf_training.data.shared_buffers import SharedBuffers
from avf_training.data.storage import StorageConfig
from avf_training.data.window_length import STRIDE
from avf_training.models.config import Geometry

_Read = Callable[[], Mapping[str, bytes]]
D = TypeVar("D", bound=SampledParams)
B_co = TypeVar("B_co", bound=Batch, covariant=True)
_ATTEMPTS = 8  # clips tried for one position before the run stops
_PART_CLIPS = 16  # clips a worker decodes at once: small parts of a step need little memory and keep all workers busy
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

    def __post_init__(self) -> None:
        if not 0 <= self.max_fault_share <= 1:
            raise UserError(f"max_fault_share {self.max_fault_share} must lie between 0 and 1")
        if self.epochs is not None and self.epochs < 1:
            raise UserError(f"epochs {self.epochs} must be at least 1")


class StageSampler(Protocol[D, B_co]):
    """The interface by which a stage samples the parameters of clips and makes its batches from them.

    `PretrainingSampler`, `FinetuningSampler` and the `ViewSampler` of evaluation implement this interface.
    """

    @property
    def geometry(self) -> Geometry: ...
    @property
    def reads_record(self) -> bool: ...

    def sample(self, digest: str, epoch: int, position: int, total_frames: int) -> D:
        """Sample the parameters of one clip from the order's digest and the clip's position alone."""
        ...

    def partner_positions(self, positions: range) -> tuple[int, ...]:
        """Return the position that each of `positions` is mixed with, in the step from `first` on; () for no mixing."""
        ...

    def make_batch(self, common: Batch, clips: list[Clip[D]], partners: list[int]) -> B_co:
        """Return the stage's batch of these clips; partners holds the row that each clip is mixed with."""
        ...


class ClipSource(Protocol):
    """Clips by number: a `ClipReader`, or several that act as one."""

    def key(self, clip: int) -> str:
        """Return the key of a clip. Raises FaultError."""
        ...

    def read(self, clip: int) -> dict[str, bytes]:
        """Return the files of a clip by extension. Raises FaultError."""
        ...


@dataclass(frozen=True, kw_only=True)
class BatchPart:
    """Positions whose clips one worker decodes together: a part of a rank's batch."""

    own: range  # positions of this rank
    partners: tuple[int, ...]  # position that each of them is mixed with
    extra: tuple[int, ...]  # partners outside this part, decoded only to be mixed in


class _LoadedClip(NamedTuple, Generic[D]):
    key: str
    source: str
    clip: Clip[D]


class ClipStream(IterableDataset[B_co], Generic[D, B_co]):
    """Iterable dataset of one rank.

    Each step is cut into parts of at most 16 clips. Worker w of n produces parts w, w + n, ..., so that the loader,
    which takes from its workers in turn, restores their order.
    """

    def __init__(
        self,
        config: StreamConfig,
        sampler: StageSampler[D, B_co],
        world: int = 1,
        rank: int = 0,
        order_and_reader: tuple[EpochwiseOrder, ClipSource] | None = None,
    ) -> None:
        """Read the index of the shards and make the order.

        Args:
            config: the clips and the batch.
            sampler: what the stage does with them.
            world: number of ranks that share each step.
            rank: number of this rank.
            order_and_reader: an order and the reader of its clips, in place of all clips of the config's shards.

        Raises:
            UserError: the world does not divide the batch, or the shards have no manifest.
        """
        super().__init__()
        if not 0 <= rank < world:
            raise UserError(f"rank {rank} is not one of a world of {world}")
        self.config, self.sampler, self.world, self.rank = config, sampler, world, rank
        self.order: EpochwiseOrder
        self.reader: ClipSource
        if order_and_reader is not None:
            self.order, self.reader = order_and_reader
        else:
            self.order = StreamOrder(read_corpus(config.shards, config.storage), config.mix, config.seed)
            self.reader = ClipReader(config.shards, config.storage, self.order.corpus, sampler.reads_record)
        # Raises now, not at the first step, if the world does not divide the batch.
        next(rank_steps(self.order, 0, 1, batch=config.batch, world=world, rank=rank))
        self.start = 0  # position with which the next iteration starts
        self.buffers = 0  # parts for which a worker keeps memory; 0: new memory for each

    @property
    def end(self) -> int | None:
        """Clips of the stream; None if it has no end. Clips that do not fill a last step are not delivered."""
        return None if self.config.epochs is None else self.config.epochs * len(self.order)

    @property
    def parts_per_step(self) -> int:
        """Parts into which this rank's clips of one step are cut."""
        return -(-self.config.batch // self.world // _PART_CLIPS)

    @property
    def window_s(self) -> float:
        """Seconds of one model input: 2.56 for 16 frames."""
        return self._audio_frames / FRAMES_PER_SECOND

    def __iter__(self) -> Iterator[B_co]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        threads = self.config.storage.read_ahead_threads(self.config.shards)
        log.debug("worker %d of %d: from position %d on, %d read-ahead threads", worker, workers, self.start, threads)
        positions = (position for part in self.plan(worker, workers) for position in chain(part.own, part.extra))
        reads = read_ahead(positions, self._read_position, threads)
        buffers = SharedBuffers(self.buffers)
        with closing(reads):
            for part in self.plan(worker, workers):
                yield self._make_part(part, reads, buffers)

    def plan(self, worker: int, workers: int) -> Iterator[BatchPart]:
        """Yield the parts that worker `worker` of `workers` makes, from the stream's start on."""
        number, first, batch = 0, self.start, self.config.batch
        while self.end is None or first + batch <= self.end:
            (positions,) = rank_steps(self.order, first, 1, batch=batch, world=self.world, rank=self.rank)
            for offset in range(0, len(positions), _PART_CLIPS):
                # The parts are numbered through all steps, not within one: torch takes from its workers in turn.
                if number % workers == worker:
                    own = positions[offset : offset + _PART_CLIPS]
                    partners = self.sampler.partner_positions(own)
                    extra = tuple(dict.fromkeys(n for n in partners if n not in own))
                    yield BatchPart(own=own, partners=partners, extra=extra)
                number += 1
            first += batch

    def _make_part(self, part: BatchPart, reads: Iterator[tuple[int, _Read]], buffers: SharedBuffers) -> B_co:
        faults: list[ClipFault] = []
        rows = len(part.own) + len(part.extra)
        # The first clip tells the size of the frames; all others are decoded straight into the shared buffer.
        loaded = [self._load_clip(*next(reads), faults, None)]
        buffer_RTQW = buffers.take(rows, loaded[0].clip.planes_TQW.shape)
        planes_RTQW = buffer_RTQW.numpy()  # shares the buffer's memory
        planes_RTQW[0] = loaded[0].clip.planes_TQW
        loaded += [self._load_clip(*next(reads), faults, planes_RTQW[row]) for row in range(1, rows)]
        clips = [row.clip for row in loaded]
        _check_sizes(loaded)
        waveform_RS = np.zeros((rows, self._audio_frames * SAMPLES_PER_FRAME), np.int16)
        for row, clip in zip(waveform_RS, clips, strict=True):
            row[: len(clip.waveform_S)] = clip.waveform_S
        own = len(part.own)
        common = Batch(
            first_position=part.own.start,
            keys=tuple(row.key for row in loaded[:own]),
            sources=tuple(row.source for row in loaded[:own]),
            planes_RTQW=buffer_RTQW,
            full_range_R=torch.tensor([clip.full_range for clip in clips]),
            waveform_RS=torch.from_numpy(waveform_RS),
            samples_R=torch.tensor([len(clip.waveform_S) for clip in clips]),
            # A fault of an extra clip is reported by the part, maybe of another rank, that has the clip as its own.
            faults=tuple(fault for fault in faults if fault.epoch * len(self.order) + fault.position in part.own),
        )
        row_of = {position: row for row, position in enumerate(chain(part.own, part.extra))}
        return self.sampler.make_batch(common, clips, [row_of[position] for position in part.partners])

    @property
    def _audio_frames(self) -> int:
        """Video frames that one window spans, and for which it has audio."""
        return self.sampler.geometry.frames * STRIDE

    def _read_position(self, position: int) -> Mapping[str, bytes]:
        """Return the files of the clip that the order has at a position of the stream. Raises FaultError."""
        clips, _ = self.order.clips_between(position, position + 1)
        return self.reader.read(int(clips[0]))

    def _load_clip(
        self, stream_position: int, read: _Read, faults: list[ClipFault], into: Planes | None
    ) -> _LoadedClip[D]:
        """Return the clip at a position, or the substitute that always replaces it.

        `read` returns the files of the clip that the order has there; `into` is an array for its planes. Unreadable
        clips are added to `faults`. Raises FaultError when no substitute can be read either.
        """
        epoch, position = divmod(stream_position, len(self.order))
        clips, sources = self.order.clips_between(stream_position, stream_position + 1)
        clip, source = int(clips[0]), int(sources[0])
        name = self.order.corpus.sources[source].name

        def sample(total_frames: int) -> D:
            return self.sampler.sample(self.order.digest, epoch, position, total_frames)

        for attempt in range(1, _ATTEMPTS + 1):
            shard, number = self.order.corpus.locate(clip)
            key = f"clip {number}"
            try:
                key = self.reader.key(clip)
                files = read() if attempt == 1 else self.reader.read(clip)
                return _LoadedClip(key, name, decode_clip(files, sample, self._audio_frames, into))
            except DeletedClipError:  # not a fault: the clip was deleted on request
                clip = self.order.substitute(source, epoch, position, attempt)
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
        last = faults[-1] if faults else "all of them were deleted"
        raise FaultError(f"position {position} of epoch {epoch}: {_ATTEMPTS} clips in a row are unreadable: {last}")


def _check_sizes(loaded: list[_LoadedClip[D]]) -> None:
    sizes = {row.clip.planes_TQW.shape[1:]: row.key for row in loaded}
    if len(sizes) > 1:
        text = ", ".join(f"{key} has {width} x {rows * 2 // 3} px" for (rows, width), key in sorted(sizes.items()))
        raise UserError(f"clips of one stream must have one size: {text}; curate them with one `clip.size_px`")
