"""The sampler of pre-training clips: window, multi-scale crop, gain and masks, sampled from the position alone."""

from dataclasses import dataclass

import numpy as np
import torch
from avf_shards.sampling.stream_order import position_random
from avf_shards.schema.clip_record import ClipRecord
from torch import Tensor

from avf_training.data.batch import Batch
from avf_training.data.clip import Clip
from avf_training.data.transforms import audio_input, video_input
from avf_training.data.window_length import STRIDE
from avf_training.data.windows import window_frames
from avf_training.models.config import Geometry, Modalities, ModelConfig
from avf_training.models.mask_sampling import ClipMask, MaskConfig, Masker
from avf_training.models.masks import Masks

CROP_SCALES = (1.0, 0.875, 0.75, 0.66)  # of the multi-scale crop (HiCMAE's script; AVF-MAE++ Table 5)
_MAX_DISTORT = 1  # steps in CROP_SCALES by which width and height may differ
# In quarters of the free space: corners, centre, middles of the sides, and halfway from the centre to the corners.
_OFFSETS = ((0, 0), (4, 0), (0, 4), (4, 4), (2, 2), (0, 2), (4, 2), (2, 4), (2, 0), (1, 1), (3, 1), (1, 3), (3, 3))


@dataclass(frozen=True, kw_only=True)
class Crop:
    """A rectangle of a square frame, relative to the frame's side."""

    width_share: float  # of the frame's side
    height_share: float  # of the frame's side
    quarter_x: int  # left edge, in quarters of the free width
    quarter_y: int  # top edge, in quarters of the free height

    def box(self, size_px: int) -> tuple[int, int, int, int]:
        """Return (left, top, right, bottom) in pixels of a frame of size_px x size_px."""
        width, height = int(size_px * self.width_share), int(size_px * self.height_share)
        left = self.quarter_x * ((size_px - width) // 4)
        top = self.quarter_y * ((size_px - height) // 4)
        return left, top, left + width, top + height


@dataclass(frozen=True, kw_only=True)
class PretrainingParams:
    """Parameters sampled for one clip."""

    frames: tuple[int, ...]  # 16 frames at stride 4
    start_frame: int  # of the window
    crop: Crop  # of each frame, resized to the model's size afterwards
    gain: float  # factor on the audio
    masks: ClipMask  # tokens that the encoder sees, and tokens to reconstruct


@dataclass(frozen=True, kw_only=True)
class PretrainingBatch(Batch):
    """A batch with the sampled parameters of each clip, and the masks of all clips as tensors."""

    params: tuple[PretrainingParams, ...]  # of each clip
    masks: Masks  # of all clips


class PretrainingSampler:
    """Samples the input of one model.

    Windows start at multiples of 4, where the stride-aligned GOP decodes only every fourth frame. With
    `any_start_frame` they start at any frame, as in the authors' code.
    """

    reads_record = False

    def __init__(self, model: ModelConfig, masks: MaskConfig, any_start_frame: bool = False) -> None:
        self.geometry, self.any_start_frame = model.geometry, any_start_frame
        self._masker = Masker(model, masks)

    def sample(
        self, digest: str, epoch: int, position: int, total_frames: int, record: ClipRecord | None = None
    ) -> PretrainingParams:
        """Sample the parameters of the clip of `total_frames` frames at a position of the order `digest`."""
        # The generator is seeded by the position alone: any rank, worker or restarted run samples the same numbers.
        # The sequence of draws below is part of the stream: another sequence would give every clip other parameters.
        random = position_random(digest, "draw", epoch, position)
        frames = self.geometry.frames
        start = sample_start(random, max(0, total_frames - frames * STRIDE), self.any_start_frame)
        crop = _sample_crop(random)
        gain = sample_gain(random)
        masks = self._masker.sample(random)
        return PretrainingParams(
            frames=tuple(window_frames(start, frames, total_frames)),
            start_frame=start,
            crop=crop,
            gain=gain,
            masks=masks,
        )

    def partner_positions(self, positions: range) -> tuple[int, ...]:
        """Return (): pre-training mixes no clips."""
        return ()

    def make_batch(self, common: Batch, clips: list[Clip[PretrainingParams]], partners: list[int]) -> PretrainingBatch:
        """Return the batch of these clips."""
        params = tuple(clip.params for clip in clips)
        return PretrainingBatch(**vars(common), params=params, masks=Masks.stack([clip.masks for clip in params]))


def sample_start(random: np.random.Generator, last: int, any_frame: bool) -> int:
    """Sample the first frame of a window, at most `last`: a multiple of 4, or any frame."""
    return int(random.integers(last + 1)) if any_frame else STRIDE * int(random.integers(last // STRIDE + 1))


def sample_gain(random: np.random.Generator) -> float:
    """Sample the factor on the audio, 0.5 to 1.5 and mostly near 1 (the audio augmentation of HiCMAE's code)."""
    return float(random.beta(10, 10)) + 0.5


def _sample_crop(random: np.random.Generator) -> Crop:
    """Sample width and height, at most one scale apart, and one of thirteen offsets."""
    steps = range(len(CROP_SCALES))
    pairs = [(w, h) for h in steps for w in steps if abs(w - h) <= _MAX_DISTORT]
    width, height = pairs[int(random.integers(len(pairs)))]
    quarter_x, quarter_y = _OFFSETS[int(random.integers(len(_OFFSETS)))]
    return Crop(
        width_share=CROP_SCALES[width], height_share=CROP_SCALES[height], quarter_x=quarter_x, quarter_y=quarter_y
    )


def pretraining_input(
    batch: PretrainingBatch, geometry: Geometry, modalities: Modalities = "av"
) -> tuple[Tensor | None, Tensor | None]:
    """Return the model's video (B, 3, T, H, W) and audio (B, 1, M, F), on the device of the batch.

    A modality that is not in `modalities` is None.
    """
    size_px = batch.planes_RTQW.shape[-1]
    boxes_B4 = torch.tensor([clip.crop.box(size_px) for clip in batch.params], dtype=torch.float32)
    gain_B = torch.tensor([clip.gain for clip in batch.params])
    video = video_input(batch.planes_RTQW, batch.full_range_R, boxes_B4, geometry) if "v" in modalities else None
    audio = audio_input(batch.waveform_RS, batch.samples_R, gain_B, geometry) if "a" in modalities else None
    return video, audio
