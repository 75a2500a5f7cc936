"""Tiny models with the token grids of the papers, and random batches and masks for them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from avf_training.models.config import EncoderKind, FusionKind, Geometry, Modalities, ModalityConfig, ModelConfig
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.mask_sampling import MaskConfig, Masker, paper_masks
from avf_training.models.masks import Masks
from avf_training.models.presets import preset
from torch import Tensor

GEOMETRY = Geometry(size_px=40, patch_px=4, mel_frames=64, mels=32, mel_patch=4)


def tiny_config(
    encoder: EncoderKind = "lgi", fusion: FusionKind = "iavcl", modalities: Modalities = "av", **changes: Any
) -> ModelConfig:
    """Return the config of a model of width 32 over the grids of the papers (8 x 10 x 10 and 16 x 8 tokens)."""
    video = ModalityConfig(width=32, depth=4, heads=4, decoder_width=16, decoder_heads=2, region=(2, 5, 10))
    audio = replace(video, region=(4, 4))
    config = ModelConfig(
        name="tiny",
        video=video,
        audio=audio,
        encoder=encoder,
        fusion=fusion,
        fusion_heads=4,
        skips=(1, 2, 3),
        modalities=modalities,
        geometry=GEOMETRY,
    )
    return replace(config, **changes)


def random_batch(config: ModelConfig, clips: int = 2, seed: int = 0) -> tuple[Tensor | None, Tensor | None]:
    """Return random video and audio; a modality that `config` does not have is None."""
    torch.manual_seed(seed)
    video, audio = torch.randn(clips, *GEOMETRY.video_shape), torch.randn(clips, *GEOMETRY.audio_shape)
    return video if "v" in config.modalities else None, audio if "a" in config.modalities else None


def random_masks(config: ModelConfig, clips: int = 2, seed: int = 0, masks: MaskConfig | None = None) -> Masks:
    """Return random masks by `masks`, or by the ratios of the paper."""
    masker, random = Masker(config, masks or paper_masks(config)), np.random.default_rng(seed)
    return Masks.stack([masker.sample(random) for _ in range(clips)])


def save_pretrained_model(folder: Path, seed: int, config: ModelConfig | None = None) -> Path:
    """Save a model of random weights, a `nano` by default, as pre-training leaves one, and return its folder."""
    torch.manual_seed(seed)
    MaskedAutoencoder(config or preset("nano")).save_pretrained(folder)
    return folder
