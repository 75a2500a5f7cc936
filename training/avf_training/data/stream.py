"""The stream: shards reach the trainer in the one global order, from any step on, in any world.

Shapes: B clips of this rank, T frames, R = 3H / 2 rows of planes, W width, S samples.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from avf_shards.corpus import load_corpus
from avf_shards.errors import FaultError, UserError
from avf_shards.mix import Mix
from avf_shards.order import Order, rank_steps
from avf_shards.timeline import SAMPLES_PER_FRAME
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from avf_training.data.decode import STRIDE, Planes, Samples, frame_count, planes, sound, window_frames
from avf_training.data.draws import Draw, draw_pretraining
from avf_training.data.reader import ClipReader
from avf_training.masking import MaskConfig, Masker
from avf_training.models.config import ModelConfig
from avf_training.models.mae import Masks

_ATTEMPTS = 8  # substitutes tried for one position before the run stops


@dataclass(frozen=True)
class StreamConfig:
    """shards: folder. batch: clips of a global step, over all ranks. official_windows: start at any frame."""

    shards: Path
    batch: int
    seed: int = 0
    mix: Mix = field(default_factory=Mix)
    official_windows: bool = False
    max_fault_share: float = 0.01
    epochs: int | None = None


@dataclass(frozen=True)
class Fault:
    """A clip that could not be read, and where the stream met it."""

    source: str
    shard: str
    key: str
    epoch: int
    position: int
    error: str


@dataclass(frozen=True)
class Batch:
    """This rank's part of one step: planes and sound as stored, and what was drawn for each clip.

    first: position of its first clip, counted from the start of the stream over all epochs. samples_B: how much of the
    sound is the clip's; the rest is 0.
    """

    first: int
    keys: tuple[str, ...]
    sources: tuple[str, ...]
    planes_BTRW: Tensor
    sound_BS: Tensor
    samples_B: Tensor
    draws: tuple[Draw, ...]
    masks: Masks
    faults: tuple[Fault, ...]

    def pin_memory(self) -> "Batch":
        """A copy that a GPU can fetch by itself; the loader calls it."""
        return replace(
            self,
            planes_BTRW=self.planes_BTRW.pin_memory(),
            sound_BS=self.sound_BS.pin_memory(),
            masks=Masks(*(part.pin_memory() for part in self.masks)),
        )


class PretrainingClips(IterableDataset[Batch]):
    """Batches of one rank from a step on. Workers take turns, so the loader gives them in order."""

    def __init__(self, config: StreamConfig, model: ModelConfig, masks: MaskConfig, world: int, rank: int) -> None:
        super().__init__()
        if not 0 <= rank < world:
            raise UserError(f"rank {rank} is not one of a world of {world}")
        self.config, self.world, self.rank = config, world, rank
        self.order = Order(load_corpus(config.shards), config.mix, config.seed)
        next(rank_steps(self.order, 0, 1, config.batch, world, rank))  # says now when the world does not divide
        self.reader = ClipReader(config.shards, self.order.corpus)
        self.masker = Masker(model, masks)
        self.start = 0

    @property
    def end(self) -> int | None:
        """Clips of the whole stream; None without end. What does not fill a last step is not delivered."""
        return None if self.config.epochs is None else self.config.epochs * len(self.order)

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        turn, turns = (worker.id, worker.num_workers) if worker else (0, 1)
        first = self.start + turn * self.config.batch
        while self.end is None or first + self.config.batch <= self.end:
            (mine,) = rank_steps(self.order, first, 1, self.config.batch, self.world, self.rank)
            yield self._batch(mine)
            first += turns * self.config.batch

    def _batch(self, positions: range) -> Batch:
        clips, sources = self.order.at(positions.start, positions.stop)
        faults: list[Fault] = []
        found = [
            self._clip(at, int(clip), int(source), faults)
            for at, clip, source in zip(positions, clips, sources, strict=True)
        ]
        keys, planes_B, sounds_B, draws = zip(*found, strict=True)
        sizes = {picture.shape[-1]: key for key, picture in zip(keys, planes_B, strict=True)}
        if len(sizes) > 1:
            told = ", ".join(f"{key} has {size} px" for size, key in sorted(sizes.items()))
            raise UserError(f"clips of one stream must have one size: {told}; curate them with one `clip.size_px`")
        sound_BS = np.zeros((len(found), self.masker.frames * STRIDE * SAMPLES_PER_FRAME), np.int16)
        for row, heard in zip(sound_BS, sounds_B, strict=True):
            row[: len(heard)] = heard
        return Batch(
            positions.start,
            keys,
            tuple(self.order.corpus.sources[source].name for source in sources),
            torch.from_numpy(np.stack(planes_B)),
            torch.from_numpy(sound_BS),
            torch.tensor([len(heard) for heard in sounds_B]),
            draws,
            Masks.of([draw.masks for draw in draws]),
            tuple(faults),
        )

    def _clip(self, at: int, clip: int, source: int, faults: list[Fault]) -> tuple[str, Planes, Samples, Draw]:
        """One clip, or the substitute that always stands for it. Raises FaultError when none can be read."""
        epoch, position = divmod(at, len(self.order))
        for attempt in range(1, _ATTEMPTS + 1):
            shard, place = self.order.corpus.place(clip)
            key = f"clip {place}"
            try:
                key = self.reader.key(clip)
                return key, *self._decoded(self.reader.read(clip), epoch, position)
            except FaultError as error:
                names = self.order.corpus.sources[source].name, self.order.corpus.shards[shard]
                faults.append(Fault(*names, key, epoch, position, str(error)))
                clip = self.order.substitute(source, epoch, position, attempt)
        raise FaultError(
            f"position {position} of epoch {epoch}: {_ATTEMPTS} clips in a row are unreadable: {faults[-1]}"
        )

    def _decoded(self, files: dict[str, bytes], epoch: int, position: int) -> tuple[Planes, Samples, Draw]:
        total, frames = frame_count(files["flac"]), self.masker.frames
        official = self.config.official_windows
        draw = draw_pretraining(self.order.digest, epoch, position, total, self.masker, official)
        picture = planes(files["mp4"], window_frames(draw.start_frame, frames, total))
        return picture, sound(files["flac"], draw.start_frame, frames * STRIDE), draw
