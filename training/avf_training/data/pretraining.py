"""Clips of pre-training: a window, a multi-scale crop, a gain and masks for each, drawn by its position alone."""

from dataclasses import dataclass

import numpy as np
import torch
from avf_shards.sampling.stream_order import position_random
from torch import Tensor

from avf_training.data.batch import Batch
from avf_training.data.clip import Clip
from avf_training.data.transforms import audio_input, video_input
from avf_training.data.windows import STRIDE, window_frames
from avf_training.models.config import Geometry, ModelConfig
from avf_training.models.masking import ClipMask, MaskConfig, Masker
from avf_training.models.masks import Masks

CROP_SCALES = (1.0, 0.875, 0.75, 0.66)  # multi-scale crop (HiCMAE 4.1; AVF-MAE++ Table 5)
_MAX_DISTORT = 1  # width and height may be this many scales apart
# Corners, centre, middles of the sides, and halfway from the centre to the corners.
_PLACES = ((0, 0), (4, 0), (0, 4), (4, 4), (2, 2), (0, 2), (4, 2), (2, 4), (2, 0), (1, 1), (3, 1), (1, 3), (3, 3))


@dataclass(frozen=True, kw_only=True)
class Crop:
    """A rectangle of the stored picture: scales of its side, and its place in quarters of what is free."""

    wide: float
    high: float
    quarter_x: int
    quarter_y: int

    def box(self, size_px: int) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) in a square picture."""
        width, height = int(size_px * self.wide), int(size_px * self.high)
        left = self.quarter_x * ((size_px - width) // 4)
        top = self.quarter_y * ((size_px - height) // 4)
        return left, top, left + width, top + height


@dataclass(frozen=True, kw_only=True)
class PretrainingParams:
    """The choices for one clip. frames: 16 at stride 4; start_frame: of the window; gain: factor on the sound."""

    frames: tuple[int, ...]
    start_frame: int
    crop: Crop
    gain: float
    masks: ClipMask


@dataclass(frozen=True, kw_only=True)
class PretrainingBatch(Batch):
    """A batch with what was drawn for each clip, and the masks of all."""

    draws: tuple[PretrainingParams, ...]
    masks: Masks


class PretrainingSampler:
    """Draws for one model's input. Windows start at multiples of 4, where the stride-aligned GOP is cheap to read;
    official_windows: at any frame, as the authors do.
    """

    reads_record = False

    def __init__(self, model: ModelConfig, masks: MaskConfig, official_windows: bool = False) -> None:
        self.geometry, self.official_windows = model.geometry, official_windows
        self._masker = Masker(model, masks)

    def draw(self, digest: str, epoch: int, position: int, total_frames: int) -> PretrainingParams:
        """What happens to the clip of `total_frames` at this place of the order `digest`."""
        random = position_random(digest, "draw", epoch, position)
        frames = self.geometry.frames
        start = sample_start(random, max(0, total_frames - frames * STRIDE), self.official_windows)
        crop = _multi_scale_crop(random)
        gain = sample_gain(random)
        masks = self._masker.draw(random)
        return PretrainingParams(
            frames=tuple(window_frames(start, frames, total_frames)),
            start_frame=start,
            crop=crop,
            gain=gain,
            masks=masks,
        )

    def partners(self, positions: range, first: int, batch: int) -> tuple[int, ...]:
        """No clip needs another."""
        return ()

    def batch(self, common: Batch, clips: list[Clip[PretrainingParams]], partners: list[int]) -> PretrainingBatch:
        """The batch of these clips."""
        draws = tuple(clip.draw for clip in clips)
        return PretrainingBatch(**vars(common), draws=draws, masks=Masks.of([draw.masks for draw in draws]))


def sample_start(random: np.random.Generator, last: int, any_frame: bool) -> int:
    """First frame of a window, up to `last`: a multiple of 4, or any."""
    return int(random.integers(last + 1)) if any_frame else STRIDE * int(random.integers(last // STRIDE + 1))


def sample_gain(random: np.random.Generator) -> float:
    """Factor on the sound, 0.5 to 1.5, mostly near 1 (HiCMAE's audio augmentation)."""
    return float(random.beta(10, 10)) + 0.5


def _multi_scale_crop(random: np.random.Generator) -> Crop:
    """Two scales that are one step apart at most, at one of thirteen places."""
    steps = range(len(CROP_SCALES))
    pairs = [(w, h) for h in steps for w in steps if abs(w - h) <= _MAX_DISTORT]
    wide, high = pairs[int(random.integers(len(pairs)))]
    quarter_x, quarter_y = _PLACES[int(random.integers(len(_PLACES)))]
    return Crop(wide=CROP_SCALES[wide], high=CROP_SCALES[high], quarter_x=quarter_x, quarter_y=quarter_y)


def pretraining_input(batch: PretrainingBatch, geometry: Geometry) -> tuple[Tensor, Tensor]:
    """The model's video (B, 3, T, H, W) and sound (B, 1, M, F), made where the batch's tensors lie."""
    size_px = batch.planes_RTQW.shape[-1]
    boxes_B4 = torch.tensor([draw.crop.box(size_px) for draw in batch.draws], dtype=torch.float32)
    gain_B = torch.tensor([draw.gain for draw in batch.draws])
    return (
        video_input(batch.planes_RTQW, batch.full_range_R, boxes_B4, geometry),
        audio_input(batch.sound_RS, batch.samples_R, gain_B, geometry),
    )
