"""What an extractor looks at: a stretch of frames of one person without a gap, with its sound.

Shapes: N frames, S samples, B pictures of a batch, P side of a picture.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from avf_shards.timeline import FRAMES_PER_SECOND
from torch import Tensor

from avf_training.data.decode import StoredAudio, decode_jpeg_planes, decode_planes
from avf_training.data.fbank import INT16_SCALE
from avf_training.data.transforms import crop_pixels, normalize_pixels

PICTURE_PREPARATION = 2
"""Version of the way from stored pictures to the network's input: rises where the same picture would become another.

1: folders of pictures resized as fractions. 2: within a black square, resized as Pillow does, 8 bits.
"""

BATCH_PICTURES = 32  # of one forward pass


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
        is_mp4, rows = "mp4" in self.files, range(self.frames)
        planes_NQW = (
            decode_planes(self.files["mp4"], rows) if is_mp4 else decode_jpeg_planes(self.files["frames"], rows)
        )
        side = planes_NQW.shape[-1]
        box_14 = torch.tensor([[0, 0, side, side]], device=device)
        full_range_1 = torch.tensor([not is_mp4], device=device)
        for batch_BQW in torch.from_numpy(planes_NQW).split(BATCH_PICTURES):
            pixels_13BPP = crop_pixels(batch_BQW[None].to(device), full_range_1, box_14, size_px)
            yield normalize_pixels(pixels_13BPP)[0].transpose(0, 1)

    def wave(self) -> npt.NDArray[np.float32]:
        samples_S = StoredAudio(self.files["flac"]).read(0, self.frames)
        return samples_S.astype(np.float32) / np.float32(INT16_SCALE)
