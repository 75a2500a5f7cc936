"""The stream of pictures: each decoded and augmented by a sampler, in the exact and resumable order of clips.

Shapes: R rows of a part, P side of the model's input, B pictures of a batch, L patches, K values of a label.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from avf_shards.sampling.stream_order import EpochwiseOrder, position_random
from torch import Tensor

from avf_training.data.batch import ClipFault, StreamBatch
from avf_training.data.ordered_stream import (
    BatchPart,
    ClipSource,
    LoadedItem,
    OrderedStream,
    Read,
    StreamConfig,
    StreamPosition,
)
from avf_training.data.picture import decode_rgb
from avf_training.data.shared_buffers import SharedBuffers
from avf_training.framewise.pictures.augment import Pixels, augment_picture, whole_picture
from avf_training.framewise.pictures.augment_config import PictureAugment, PictureChanges
from avf_training.framewise.pictures.changes import change_picture
from avf_training.framewise.pictures.shards import LABELS, PICTURE
from avf_training.models.inputs import IMAGE_MEAN, IMAGE_STD


@dataclass(frozen=True, kw_only=True)
class PictureBatch(StreamBatch):
    """This rank's pictures of one step."""

    pixels_B3PP: Tensor  # uint8, RGB

    @property
    def buffer(self) -> Tensor:
        return self.pixels_B3PP

    def normalized(self) -> Tensor:
        """Return the pictures as a model takes them, (B, 3, P, P), by ImageNet's mean and deviation."""
        pixels_B3PP = self.pixels_B3PP.float() / 255
        mean, std = (pixels_B3PP.new_tensor(values).view(3, 1, 1) for values in (IMAGE_MEAN, IMAGE_STD))
        return (pixels_B3PP - mean) / std


@dataclass(frozen=True, kw_only=True)
class MaskedPictureBatch(PictureBatch):
    """Pictures with what image MAE hides of each."""

    order_BL: Tensor  # int64, a permutation for each picture: the patches with the smallest numbers are seen


@dataclass(frozen=True, kw_only=True)
class LabelledPictureBatch(PictureBatch):
    """Pictures with their labels."""

    values_BK: Tensor  # float32, in the columns of the task; nan where not valid


Pictures_co = TypeVar("Pictures_co", bound=PictureBatch, covariant=True)


class PictureSampler(Protocol[Pictures_co]):
    """The interface by which a stage decides what a picture of the stream becomes."""

    @property
    def size_px(self) -> int: ...

    def sample(self, files: Mapping[str, bytes], where: StreamPosition) -> tuple[Pixels, npt.NDArray[np.generic]]:
        """Return the pixels (3, P, P) of a picture, and what else its row of a batch has. Raises FaultError."""
        ...

    def make_batch(self, common: PictureBatch, others_BX: Tensor) -> Pictures_co:
        """Return the stage's batch from the pixels, and what `sample` returned beside them."""
        ...


@dataclass(frozen=True, kw_only=True)
class MaskingSampler:
    """Pictures for image MAE: augmented in training, whole in validation, each with an order of its patches."""

    size_px: int
    patches: int  # L
    augment: PictureAugment | None  # None: whole pictures

    def sample(self, files: Mapping[str, bytes], where: StreamPosition) -> tuple[Pixels, npt.NDArray[np.generic]]:
        """Return the pixels, and the order of the patches (L,)."""
        order_L = position_random(where.digest, "mask", where.epoch, where.position).permutation(self.patches)
        return _sample_pixels(files, self.size_px, self.augment, where), order_L

    def make_batch(self, common: PictureBatch, others_BX: Tensor) -> MaskedPictureBatch:
        """Return the batch with the orders."""
        return MaskedPictureBatch(**vars(common), order_BL=others_BX)


@dataclass(frozen=True, kw_only=True)
class LabellingSampler:
    """Labelled pictures: augmented in training, whole in validation."""

    size_px: int
    augment: PictureAugment | PictureChanges | None  # None: whole pictures

    def sample(self, files: Mapping[str, bytes], where: StreamPosition) -> tuple[Pixels, npt.NDArray[np.generic]]:
        """Return the pixels, and the label (K,)."""
        return _sample_pixels(files, self.size_px, self.augment, where), np.frombuffer(files[LABELS], np.float32)

    def make_batch(self, common: PictureBatch, others_BX: Tensor) -> LabelledPictureBatch:
        """Return the batch with the labels."""
        return LabelledPictureBatch(**vars(common), values_BK=others_BX)


def _sample_pixels(
    files: Mapping[str, bytes],
    size_px: int,
    augment: PictureAugment | PictureChanges | None,
    where: StreamPosition,
) -> Pixels:
    picture_HW3 = decode_rgb(files[PICTURE], "the picture")
    if augment is None:
        return whole_picture(picture_HW3, size_px)
    # Seeded by the position alone: any rank, worker or restarted run samples the same numbers.
    random = position_random(where.digest, "draw", where.epoch, where.position)
    if isinstance(augment, PictureChanges):
        return change_picture(picture_HW3, size_px, augment, random)
    return augment_picture(picture_HW3, size_px, augment, random)


class PictureStream(OrderedStream[Pictures_co], Generic[Pictures_co]):
    """Pictures of one rank."""

    def __init__(
        self,
        config: StreamConfig,
        sampler: PictureSampler[Pictures_co],
        order_and_reader: tuple[EpochwiseOrder, ClipSource],
        world: int = 1,
        rank: int = 0,
    ) -> None:
        """Take what the stage does with pictures, and their order. Raises UserError as `OrderedStream`."""
        super().__init__(config, *order_and_reader, world, rank)
        self.sampler = sampler

    @property
    def window_s(self) -> float:
        """Return 0: a picture lasts no time."""
        return 0.0

    def make_part(self, part: BatchPart, reads: Iterator[tuple[int, Read]], buffers: SharedBuffers) -> Pictures_co:
        """Return the stage's batch of a part."""
        faults: list[ClipFault] = []
        buffer_R3PP = buffers.take(part.rows, (3, self.sampler.size_px, self.sampler.size_px))
        pixels_R3PP = buffer_R3PP.numpy()  # shares the buffer's memory
        loaded: list[LoadedItem[tuple[Pixels, npt.NDArray[np.generic]]]] = []
        for row in range(part.rows):
            loaded.append(self.load(*next(reads), faults, self.sampler.sample))
            pixels_R3PP[row] = loaded[-1].content[0]
        common = PictureBatch(
            first_position=part.own.start,
            keys=tuple(row.key for row in loaded),
            sources=tuple(row.source for row in loaded),
            pixels_B3PP=buffer_R3PP,
            faults=self.own_faults(part, faults),
        )
        return self.sampler.make_batch(common, torch.from_numpy(np.stack([row.content[1] for row in loaded])))
