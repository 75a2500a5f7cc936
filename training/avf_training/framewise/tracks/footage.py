"""What an extractor looks at: a stretch of frames of one person without a gap, with its sound.

Shapes: N frames, S samples, B pictures of a batch, P side of a picture.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from avf_shards.timeline import FRAMES_PER_SECOND
from torch import Tensor

from avf_training.data.decode import StoredAudio, decode_jpeg_planes, decode_planes
from avf_training.data.fbank import INT16_SCALE
from avf_training.data.transforms import crop_pixels
from avf_training.models.inputs import IMAGE_MEAN, IMAGE_STD

PICTURE_PREPARATION = 2
"""Version of the way from stored pictures to the network's input: rises where the same picture would become another.

1: folders of pictures resized as fractions. 2: within a black square, resized as Pillow does, 8 bits.
"""

BATCH_PICTURES = 32  # of one forward pass


class PreparedPictures(Protocol):
    """Pictures in this process's memory, decoded, but for what a device does as well."""

    def batches(self, size_px: int, device: torch.device) -> Iterator[Tensor]:
        """Yield batches in order, ImageNet-normalized, (B, 3, P, P)."""


PreparePictures = Callable[[], PreparedPictures]
"""Function that decodes some pictures of a stretch, in any thread. Raises FaultError."""


class Footage(Protocol):
    """A stretch of a video as extractors see it. Rows count its frames from 0."""

    @property
    def fps(self) -> float:
        """Return the frames a second."""

    @property
    def frames(self) -> int:
        """Return N."""

    def pictures(self, size_px: int, device: torch.device) -> Iterator[Tensor]:
        """Yield batches of the pictures in order, ImageNet-normalized, (B, 3, P, P). Raises FaultError."""

    def preparations(self, size_px: int, *, pinned: bool) -> Iterator[PreparePictures]:
        """Yield functions that decode the pictures, in order; one after another they give what `pictures` gives.

        Args:
            size_px: P, in pixels.
            pinned: to memory from which a GPU copies by itself.
        """

    def wave(self) -> npt.NDArray[np.float32]:
        """Return the sound of all frames in -1..1, mono, 16 kHz, (S,). Raises FaultError."""


@dataclass(frozen=True, kw_only=True)
class ClipFootage:
    """A clip of shards: 25 frames a second, a square around one face."""

    files: dict[str, bytes]  # by kind

    @property
    def fps(self) -> float:
        return float(FRAMES_PER_SECOND)

    @property
    def frames(self) -> int:
        return StoredAudio(self.files["flac"]).frames

    def pictures(self, size_px: int, device: torch.device) -> Iterator[Tensor]:
        yield from self._decode(pinned=False).batches(size_px, device)

    def preparations(self, size_px: int, *, pinned: bool) -> Iterator[PreparePictures]:
        yield partial(self._decode, pinned=pinned)  # as a whole: a video is decoded from its start

    def _decode(self, *, pinned: bool) -> "ClipPlanes":
        is_mp4, rows = "mp4" in self.files, range(self.frames)
        planes_NQW = (
            decode_planes(self.files["mp4"], rows) if is_mp4 else decode_jpeg_planes(self.files["frames"], rows)
        )
        planes = torch.from_numpy(planes_NQW)
        return ClipPlanes(planes_NQW=planes.pin_memory() if pinned else planes, full_range=not is_mp4)

    def wave(self) -> npt.NDArray[np.float32]:
        samples_S = StoredAudio(self.files["flac"]).read(0, self.frames)
        return samples_S.astype(np.float32) / np.float32(INT16_SCALE)


@dataclass(frozen=True, kw_only=True)
class ClipPlanes:
    """The decoded pictures of a clip: brightness and colour as stored, Q rows of W values."""

    planes_NQW: Tensor
    full_range: bool  # brightness is 0..255, as in JPEG, not 16..235

    def batches(self, size_px: int, device: torch.device) -> Iterator[Tensor]:
        """Yield batches, (B, 3, P, P), whose pixels are cropped and converted on the device."""
        side = self.planes_NQW.shape[-1]
        box_14 = torch.tensor([[0, 0, side, side]], device=device)
        full_range_1 = torch.tensor([self.full_range], device=device)
        for batch_BQW in self.planes_NQW.split(BATCH_PICTURES):
            on_device_1BQW = batch_BQW[None].to(device, non_blocking=True)
            pixels_13BPP = crop_pixels(on_device_1BQW, full_range_1, box_14, size_px)
            yield normalize_pictures(pixels_13BPP[0])


def normalize_pictures(pixels_3BPP: Tensor) -> Tensor:
    """Return pictures in 0..1 as the networks see them, (B, 3, P, P): ImageNet-normalized, bit for bit as in training.

    The numbers stay on the device: to send them with each batch would make this process wait for the network before.
    """
    mean_3111, std_3111 = _image_statistics(pixels_3BPP.device)
    return (pixels_3BPP - mean_3111).div_(std_3111).transpose(0, 1)


@lru_cache(maxsize=8)
def _image_statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    mean_3111, std_3111 = (torch.tensor(values, device=device).view(3, 1, 1, 1) for values in (IMAGE_MEAN, IMAGE_STD))
    return mean_3111, std_3111
