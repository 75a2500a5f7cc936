"""The loss of pre-training: reconstruction of both modalities, and HCMCL (HiCMAE eq. 10; AVF-MAE++ 3.4)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from avf_training.models.config import ModelConfig
from avf_training.models.mae import ReconstructionOutput
from avf_training.models.masks import Masks
from avf_training.models.precision import at_least_fp32
from avf_training.objectives.hcmcl import Negatives, contrastive
from avf_training.objectives.reconstruction import masked_mse
from avf_training.objectives.targets import audio_targets, video_targets


@dataclass(frozen=True, kw_only=True)
class PretrainingLosses:
    """total = video + audio + weight * sum of the contrastive levels; parts a model lacks are None or empty."""

    total: Tensor
    video: Tensor | None
    audio: Tensor | None
    levels: tuple[Tensor, ...]


def pretraining_losses(
    out: ReconstructionOutput,
    video_BCTHW: Tensor | None,
    audio_B1MF: Tensor | None,
    masks: Masks,
    config: ModelConfig,
    *,
    negatives: Negatives = "own",
) -> PretrainingLosses:
    """Compare `out` with what was masked, in fp32 at least. negatives: see `contrastive`."""
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
        levels = tuple(contrastive(v, a, config.temperature, negatives) for v, a in out.levels)
        parts += [config.contrastive_weight * level for level in levels]
    return PretrainingLosses(total=torch.stack(parts).sum(), video=video, audio=audio, levels=levels)
