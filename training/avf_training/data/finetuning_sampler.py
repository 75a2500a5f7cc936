"""The sampler of fine-tuning clips: window, augmentation, gain and mixing partner, all sampled from the position."""

from dataclasses import dataclass, field

import torch
from avf_shards.errors import FaultError
from avf_shards.sampling.stream_order import position_random
from avf_shards.schema.clip_record import ClipRecord
from torch import Tensor

from avf_training.data.augment import AugmentParams, apply_operation, erase_rectangles, sample_augment
from avf_training.data.augment_config import AugmentConfig, MixConfig
from avf_training.data.batch import ROW_NUMBERS, Batch
from avf_training.data.clip import Clip
from avf_training.data.forged_windows import ForgedWindows
from avf_training.data.mixing import (
    MixParams,
    mix_audio,
    mix_targets,
    mix_video,
    partner_position,
    sample_mix,
    smooth_labels,
)
from avf_training.data.pretraining_sampler import sample_gain, sample_start
from avf_training.data.transforms import crop_pixels, decode_waveform, log_mel_batch, normalize_pixels, resample_pixels
from avf_training.data.window_length import STRIDE
from avf_training.data.windows import spread_frames
from avf_training.models.config import Geometry, Modalities


@dataclass(frozen=True, kw_only=True)
class FinetuningParams:
    """Parameters sampled for one clip."""

    frames: tuple[int, ...]  # spread over the window
    start_frame: int  # of the window
    gain: float  # factor on the audio
    augment: AugmentParams  # of the frames
    mix: MixParams  # with the partner clip: mixup or CutMix


@dataclass(frozen=True, kw_only=True)
class FinetuningBatch(Batch):
    """A batch with the sampled parameters and the record of each row."""

    params: tuple[FinetuningParams, ...]  # of each row
    records: tuple[ClipRecord, ...]  # of each row
    own_B: Tensor = field(metadata=ROW_NUMBERS)  # row of each clip
    partner_B: Tensor = field(metadata=ROW_NUMBERS)  # row that each clip is mixed with

    def mixes(self) -> list[MixParams]:
        """Return how each of the B clips is mixed."""
        return [self.params[row].mix for row in self.own_B.tolist()]


@dataclass(frozen=True, kw_only=True)
class FinetuningSampler:
    """Samples the input of one model. The clips come with their records, which hold the labels."""

    geometry: Geometry  # of the model's input
    augment: AugmentConfig = field(default_factory=AugmentConfig)  # RandAugment, crop, flip and erasing
    mix: MixConfig = field(default_factory=MixConfig)  # mixup and CutMix
    forged: ForgedWindows | None = None  # of a task of fakes: how their windows are drawn
    reads_record: bool = True  # the loader reads each clip's record, for its labels

    def sample(
        self, digest: str, epoch: int, position: int, total_frames: int, record: ClipRecord | None = None
    ) -> FinetuningParams:
        """Sample the parameters of the clip of `total_frames` frames at a position of the order `digest`."""
        # As in pre-training, the generator depends on the position alone and the sequence of draws must not change.
        random = position_random(digest, "finetuning", epoch, position)
        frames = self.geometry.frames
        last_start = max(0, total_frames - frames * STRIDE)
        start = sample_start(random, last_start, True)
        if self.forged is not None and record is not None:
            # A generator of its own: the other parameters of the clip stay what they are without it.
            onto = position_random(digest, "forged window", epoch, position)
            drawn = self.forged.draw_start(onto, record, frames, last_start)
            start = start if drawn is None else drawn
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

    def partner_positions(self, positions: range) -> tuple[int, ...]:
        """Return the position of the clip that each of `positions` is mixed with."""
        if not self.mix.any:
            return tuple(positions)
        return tuple(partner_position(position) for position in positions)

    def make_batch(self, common: Batch, clips: list[Clip[FinetuningParams]], partners: list[int]) -> FinetuningBatch:
        """Return the batch of these clips."""
        params = tuple(clip.params for clip in clips)
        records = tuple(clip.record for clip in clips if clip.record is not None)
        if len(records) < len(clips):
            raise FaultError("fine-tuning needs the record of each clip; read the shards with their records")
        own_B, partner_B = torch.arange(len(common)), torch.tensor(partners)
        return FinetuningBatch(**vars(common), params=params, records=records, own_B=own_B, partner_B=partner_B)


def finetuning_input(
    batch: FinetuningBatch, config: FinetuningSampler, modalities: Modalities = "av"
) -> tuple[Tensor | None, Tensor | None]:
    """Return the model's video (B, 3, T, H, W) and audio (B, 1, M, F), on the device of the batch.

    A modality that is not in `modalities` is None.
    """
    video = _video_input(batch, config) if "v" in modalities else None
    return video, _audio_input(batch, config) if "a" in modalities else None


def _video_input(batch: FinetuningBatch, config: FinetuningSampler) -> Tensor:
    """Resize, RandAugment, random resized crop with flip, normalize, erase and mix, in the authors' order."""
    geometry, params = config.geometry, batch.params
    size_px = batch.planes_RTQW.shape[-1]
    full_frame_R4 = torch.tensor([[0, 0, size_px, size_px]] * len(params))
    pixels_R3THW = crop_pixels(batch.planes_RTQW, batch.full_range_R, full_frame_R4, geometry.size_px)
    for row_3THW, clip in zip(pixels_R3THW, params, strict=True):
        if clip.augment.operations:
            # RandAugment is defined on 8-bit images: rounding and its integer thresholds are part of it.
            frames_T3HW = (row_3THW.transpose(0, 1) * 255).round().to(torch.uint8)
            for operation in clip.augment.operations:
                frames_T3HW = apply_operation(operation, frames_T3HW)
            row_3THW.copy_(frames_T3HW.transpose(0, 1) / 255)
    boxes_R4 = torch.tensor([clip.augment.box() for clip in params])
    video_R3THW = normalize_pixels(resample_pixels(pixels_R3THW, boxes_R4, geometry.size_px))
    video_R3THW = torch.stack(
        [erase_rectangles(row_3THW, clip.augment) for row_3THW, clip in zip(video_R3THW, params, strict=True)]
    )
    return mix_video(video_R3THW[batch.own_B], video_R3THW[batch.partner_B], batch.mixes())


def _audio_input(batch: FinetuningBatch, config: FinetuningSampler) -> Tensor:
    """Apply the gain, mix where the config says so, and take the log-mel energies."""
    geometry, own_B, partner_B = config.geometry, batch.own_B, batch.partner_B
    gain_R = torch.tensor([clip.gain for clip in batch.params])
    wave_RS = decode_waveform(batch.waveform_RS, batch.samples_R, gain_R)
    samples_B = batch.samples_R[own_B]
    if not config.mix.mix_sound:
        return log_mel_batch(wave_RS[own_B], samples_B, geometry)
    # The longer of the two clips ends the mixture.
    mixed_samples_B = torch.maximum(samples_B, batch.samples_R[partner_B])
    return log_mel_batch(mix_audio(wave_RS[own_B], wave_RS[partner_B], batch.mixes()), mixed_samples_B, geometry)


def finetuning_targets(batch: FinetuningBatch, labels_R: Tensor, classes: int, smoothing: float = 0.1) -> Tensor:
    """Return the target distribution of each clip, (B, N), from the class numbers of all rows."""
    targets_RN = smooth_labels(labels_R, classes, smoothing)
    return mix_targets(targets_RN[batch.own_B], targets_RN[batch.partner_B], batch.mixes())
