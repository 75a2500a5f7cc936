"""Clips of fine-tuning: a window, RandAugment and the rest, a gain and a partner to mix with, all drawn by position."""

from dataclasses import dataclass, field

import torch
from avf_shards.errors import FaultError
from avf_shards.sampling.stream_order import position_random
from avf_shards.schema.clip_record import ClipRecord
from torch import Tensor

from avf_training.data.augment import Augment, AugmentConfig, apply_operation, erase_rectangles, sample_augment
from avf_training.data.batch import ROW_NUMBERS, Batch
from avf_training.data.clip import Clip
from avf_training.data.mixing import (
    MixConfig,
    MixParams,
    mix_audio,
    mix_targets,
    mix_video,
    partner_position,
    sample_mix,
    smooth_labels,
)
from avf_training.data.pretraining import sample_gain, sample_start
from avf_training.data.transforms import crop_pixels, decode_waveform, log_mel_batch, normalize_pixels, resample_pixels
from avf_training.data.windows import STRIDE, spread_frames
from avf_training.models.config import Geometry, Modalities


@dataclass(frozen=True, kw_only=True)
class FinetuningParams:
    """The choices for one clip. frames: spread over the window from start_frame on; gain: factor on the sound."""

    frames: tuple[int, ...]
    start_frame: int
    gain: float
    augment: Augment
    mix: MixParams


@dataclass(frozen=True, kw_only=True)
class FinetuningBatch(Batch):
    """A batch with what was drawn for each row, and its record.

    own_B, partner_B: rows of the clips, and of those they are mixed with.
    """

    draws: tuple[FinetuningParams, ...]
    records: tuple[ClipRecord, ...]
    own_B: Tensor = field(metadata=ROW_NUMBERS)
    partner_B: Tensor = field(metadata=ROW_NUMBERS)

    def mixes(self) -> list[MixParams]:
        """How each of the B clips is mixed."""
        return [self.draws[row].mix for row in self.own_B.tolist()]


@dataclass(frozen=True, kw_only=True)
class FinetuningSampler:
    """Draws for one model's input. Records come with the clips, for their labels."""

    geometry: Geometry
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    mix: MixConfig = field(default_factory=MixConfig)
    reads_record: bool = True

    def draw(self, digest: str, epoch: int, position: int, total_frames: int) -> FinetuningParams:
        """What happens to the clip of `total_frames` at this place of the order `digest`."""
        random = position_random(digest, "finetuning", epoch, position)
        frames = self.geometry.frames
        start = sample_start(random, max(0, total_frames - frames * STRIDE), True)
        gain = sample_gain(random)
        augment = sample_augment(random, self.augment, self.geometry.size_px)
        mix = sample_mix(random, self.mix, self.geometry.size_px)
        return FinetuningParams(
            frames=tuple(spread_frames(start, frames, total_frames)),
            start_frame=start,
            gain=gain,
            augment=augment,
            mix=mix,
        )

    def partners(self, positions: range, first: int, batch: int) -> tuple[int, ...]:
        """Position of the clip that each of `positions` is mixed with."""
        if not self.mix.any:
            return tuple(positions)
        return tuple(partner_position(position, first, batch) for position in positions)

    def batch(self, common: Batch, clips: list[Clip[FinetuningParams]], partners: list[int]) -> FinetuningBatch:
        """The batch of these clips."""
        draws = tuple(clip.draw for clip in clips)
        records = tuple(clip.record for clip in clips if clip.record is not None)
        if len(records) < len(clips):
            raise FaultError("fine-tuning needs the record of each clip; read the shards with their records")
        own_B, partner_B = torch.arange(len(common)), torch.tensor(partners)
        return FinetuningBatch(**vars(common), draws=draws, records=records, own_B=own_B, partner_B=partner_B)


def finetuning_input(
    batch: FinetuningBatch, config: FinetuningSampler, modalities: Modalities = "av"
) -> tuple[Tensor | None, Tensor | None]:
    """The model's video (B, 3, T, H, W) and sound (B, 1, M, F), made where the batch lies; None: not asked for."""
    video = _video(batch, config) if "v" in modalities else None
    return video, _sound(batch, config) if "a" in modalities else None


def _video(batch: FinetuningBatch, config: FinetuningSampler) -> Tensor:
    """As the authors: brought to the model's size, RandAugment, random resized crop, mirror, erasing, mix."""
    geometry, draws = config.geometry, batch.draws
    size_px = batch.planes_RTQW.shape[-1]
    whole_R4 = torch.tensor([[0, 0, size_px, size_px]] * len(draws))
    pixels_R3THW = crop_pixels(batch.planes_RTQW, batch.full_range_R, whole_R4, geometry.size_px)
    for row, draw in zip(pixels_R3THW, draws, strict=True):
        if draw.augment.operations:
            frames_T3HW = (row.transpose(0, 1) * 255).round().to(torch.uint8)
            for operation in draw.augment.operations:
                frames_T3HW = apply_operation(operation, frames_T3HW)
            row.copy_(frames_T3HW.transpose(0, 1) / 255)
    boxes_R4 = torch.tensor([draw.augment.box() for draw in draws])
    video_R3THW = normalize_pixels(resample_pixels(pixels_R3THW, boxes_R4, geometry.size_px))
    video_R3THW = torch.stack(
        [erase_rectangles(row, draw.augment) for row, draw in zip(video_R3THW, draws, strict=True)]
    )
    return mix_video(video_R3THW[batch.own_B], video_R3THW[batch.partner_B], batch.mixes())


def _sound(batch: FinetuningBatch, config: FinetuningSampler) -> Tensor:
    """Gain as drawn, mixed where the config says so, log-mel."""
    geometry, own_B, partner_B = config.geometry, batch.own_B, batch.partner_B
    wave_RS = decode_waveform(batch.sound_RS, batch.samples_R, torch.tensor([draw.gain for draw in batch.draws]))
    samples_B = batch.samples_R[own_B]
    if not config.mix.mix_sound:
        return log_mel_batch(wave_RS[own_B], samples_B, geometry)
    heard_B = torch.maximum(samples_B, batch.samples_R[partner_B])
    return log_mel_batch(mix_audio(wave_RS[own_B], wave_RS[partner_B], batch.mixes()), heard_B, geometry)


def finetuning_targets(batch: FinetuningBatch, labels_R: Tensor, classes: int, smoothing: float = 0.1) -> Tensor:
    """Target distribution of each clip, (B, classes), from the classes of all rows."""
    hot_RN = smooth_labels(labels_R, classes, smoothing)
    return mix_targets(hot_RN[batch.own_B], hot_RN[batch.partner_B], batch.mixes())
