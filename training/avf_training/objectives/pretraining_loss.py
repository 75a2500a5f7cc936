"""The loss of pre-training: reconstruction of both modalities, and HCMCL (HiCMAE eq. 11; AVF-MAE++ eq. 1)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from avf_training.models.config import ModelConfig
from avf_training.models.mae import ReconstructionOutput
from avf_training.models.masks import Masks
from avf_training.models.precision import at_least_fp32
from avf_training.objectives.hcmcl import LOCAL, NegativeClips, contrastive_loss
from avf_training.objectives.reconstruction_loss import masked_mse
from avf_training.objectives.targets import audio_targets, video_targets


@dataclass(frozen=True, kw_only=True)
class PretrainingLosses:
    """The loss and its parts; parts that a model lacks are None or empty."""

    total: Tensor  # video + audio + contrastive weight * sum of the levels
    video: Tensor | None  # reconstruction error
    audio: Tensor | None  # reconstruction error
    levels: tuple[Tensor, ...]  # contrastive loss of each skip layer


def pretraining_losses(
    out: ReconstructionOutput,
    video_BCTHW: Tensor | None,
    audio_B1MF: Tensor | None,
    masks: Masks,
    config: ModelConfig,
    *,
    negatives: NegativeClips = LOCAL,
) -> PretrainingLosses:
    """Return the losses of the predictions `out`, computed in fp32 at least."""
    parts: list[Tensor] = []
    video = audio = None
    if out.video_BMP is not None and video_BCTHW is not None:
        target = video_targets(at_least_fp32(video_BCTHW), masks.video_target_BM, config.geometry, config.targets)
        video = masked_mse(at_least_fp32(out.video_BMP), target, masks.video_weight_BM)
        parts.append(video)
    if out.audio_BMP is not None and audio_B1MF is not None:
        target = audio_targets(at_least_fp32(audio_B1MF), masks.audio_target_BM, config.geometry, config.targets)
        audio = masked_mse(at_least_fp32(out.audio_BMP), target, masks.audio_weight_BM)
        parts.append(audio)
    levels: tuple[Tensor, ...] = ()
    if config.contrastive_weight:
        levels = tuple(contrastive_loss(v, a, config.temperature, negatives) for v, a in out.levels)
        parts += [config.contrastive_weight * level for level in levels]
    return PretrainingLosses(total=torch.stack(parts).sum(), video=video, audio=audio, levels=levels)
