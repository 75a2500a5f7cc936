"""The stream of clips: a window of each clip, decoded for one stage."""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from avf_shards.errors import UserError
from avf_shards.sampling.stream_order import EpochwiseOrder, StreamOrder
from avf_shards.schema.clip_record import ClipRecord
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLES_PER_FRAME

from avf_training.data.batch import Batch, ClipFault
from avf_training.data.clip import Clip, SampledParams, decode_clip
from avf_training.data.decode import Planes
from avf_training.data.ordered_stream import (
    BatchPart,
    ClipSource,
    LoadedItem,
    OrderedStream,
    Read,
    StreamConfig,
    StreamPosition,
)
from avf_training.data.reader import ClipReader, read_corpus
from avf_training.data.shared_buffers import SharedBuffers
from avf_training.data.window_length import STRIDE
from avf_training.models.config import Geometry

D = TypeVar("D", bound=SampledParams)
B_co = TypeVar("B_co", bound=Batch, covariant=True)


class StageSampler(Protocol[D, B_co]):
    """The interface by which a stage samples the parameters of clips and makes its batches from them.

    `PretrainingSampler`, `FinetuningSampler` and the `ViewSampler` of evaluation implement this interface.
    """

    @property
    def geometry(self) -> Geometry: ...
    @property
    def reads_record(self) -> bool: ...

    def sample(self, digest: str, epoch: int, position: int, total_frames: int, record: ClipRecord | None = None) -> D:
        """Sample the parameters of one clip from the order's digest, the clip's position and its record alone."""
        ...

    def partner_positions(self, positions: range) -> tuple[int, ...]:
        """Return the position that each of `positions` is mixed with, in the step from `first` on; () for no mixing."""
        ...

    def make_batch(self, common: Batch, clips: list[Clip[D]], partners: list[int]) -> B_co:
        """Return the stage's batch of these clips; partners holds the row that each clip is mixed with."""
        ...


class ClipStream(OrderedStream[B_co], Generic[D, B_co]):
    """Clips of one rank: each is a window that the stage's sampler chooses."""

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
        order: EpochwiseOrder
        reader: ClipSource
        if order_and_reader is not None:
            order, reader = order_and_reader
        else:
            order = StreamOrder(read_corpus(config.shards, config.storage), config.mix, config.seed)
            reader = ClipReader(config.shards, config.storage, order.corpus, sampler.reads_record)
        super().__init__(config, order, reader, world, rank)
        self.sampler = sampler

    @property
    def window_s(self) -> float:
        """Seconds of one model input: 2.56 for 16 frames."""
        return self._audio_frames / FRAMES_PER_SECOND

    def partner_positions(self, positions: range) -> tuple[int, ...]:
        """Return the position that each of `positions` is mixed with; () for no mixing."""
        return self.sampler.partner_positions(positions)

    def make_part(self, part: BatchPart, reads: Iterator[tuple[int, Read]], buffers: SharedBuffers) -> B_co:
        """Return the stage's batch of a part."""
        faults: list[ClipFault] = []
        # The first clip tells the size of the frames; all others are decoded straight into the shared buffer.
        loaded = [self._load_clip(*next(reads), faults, None)]
        buffer_RTQW = buffers.take(part.rows, loaded[0].content.planes_TQW.shape)
        planes_RTQW = buffer_RTQW.numpy()  # shares the buffer's memory
        planes_RTQW[0] = loaded[0].content.planes_TQW
        loaded += [self._load_clip(*next(reads), faults, planes_RTQW[row]) for row in range(1, part.rows)]
        clips = [row.content for row in loaded]
        _check_sizes(loaded)
        waveform_RS = np.zeros((part.rows, self._audio_frames * SAMPLES_PER_FRAME), np.int16)
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
            faults=self.own_faults(part, faults),
        )
        row_of = {position: row for row, position in enumerate(chain(part.own, part.extra))}
        return self.sampler.make_batch(common, clips, [row_of[position] for position in part.partners])

    @property
    def _audio_frames(self) -> int:
        """Video frames that one window spans, and for which it has audio."""
        return self.sampler.geometry.frames * STRIDE

    def _load_clip(
        self, stream_position: int, read: Read, faults: list[ClipFault], into: Planes | None
    ) -> LoadedItem[Clip[D]]:
        """Return the clip at a position, with its planes in `into` where they fit."""

        def decode(files: Mapping[str, bytes], where: StreamPosition) -> Clip[D]:
            def sample(frames: int, record: ClipRecord | None) -> D:
                return self.sampler.sample(*where, frames, record)

            return decode_clip(files, sample, self._audio_frames, into)

        return self.load(stream_position, read, faults, decode)


def _check_sizes(loaded: list[LoadedItem[Clip[D]]]) -> None:
    sizes = {row.content.planes_TQW.shape[1:]: row.key for row in loaded}
    if len(sizes) > 1:
        text = ", ".join(f"{key} has {width} x {rows * 2 // 3} px" for (rows, width), key in sorted(sizes.items()))
        raise UserError(f"clips of one stream must have one size: {text}; curate them with one `clip.size_px`")
