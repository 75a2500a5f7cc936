"""Cost of a model, counted without running it: parameters by part, multiply-adds, tokens, activation memory.

See cost_counter.py for how, and model_costs.py for what is counted.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from avf_shards.system.named_writes import write_bytes
from torch import nn

from avf_training.models.classifier import Classifier
from avf_training.models.config import ModelConfig, Precision
from avf_training.models.cost_counter import count_forward
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.mask_sampling import MaskConfig, Masker, paper_masks
from avf_training.models.masks import Masks
from avf_training.models.model_costs import (
    CLASSES,
    NOTES,
    PRESET_COSTS,
    PUBLISHED,
    STORED,
    ModelSummary,
    PublishedSize,
    StageSummary,
    costs_as_json,
)
from avf_training.models.presets import PRESETS, preset

_STATE_BYTES = 16  # per parameter: weight, gradient and AdamW's two moments in fp32


def summarize_presets() -> list[ModelSummary]:
    """Return the cost of each published model for the STORED batch and precision."""
    precision = Precision(compute=STORED.precision)
    return [summarize_model(preset(name, STORED.modalities), STORED.batch, precision) for name in PRESETS]


def store_preset_costs(path: Path = PRESET_COSTS) -> None:
    """Write the file that `avf-train describe` prints; a test compares it with what is counted."""
    write_bytes(path, costs_as_json(summarize_presets()))


def summarize_model(config: ModelConfig, batch: int, precision: Precision) -> ModelSummary:
    """Return the cost of a model, with activations for `batch` clips in `precision`."""
    masker, random = Masker(config, paper_masks(config)), np.random.default_rng(0)
    clips = [masker.sample(random) for _ in range(2)]
    geometry = config.geometry
    shapes = _shapes(config)
    tokens: dict[str, int] = {}
    for modality, total, mask in (
        ("video", geometry.video_tokens, clips[0].video),
        ("audio", geometry.audio_tokens, clips[0].audio),
    ):
        if modality[0] in config.modalities:
            visible, target = len(mask.visible_V), len(mask.target_M)
            tokens |= {modality: total, f"{modality} seen": visible, f"{modality} decoder": visible + target}

    masks = Masks.stack(clips * (batch // 2 + 1))
    return ModelSummary(
        name=config.name,
        pretrain=_stage(lambda: MaskedAutoencoder(config, precision.fp32_decoder), shapes, (masks,), batch, precision),
        finetune=_stage(lambda: Classifier(config, CLASSES), shapes, (), batch, precision),
        tokens=tokens,
        published=PUBLISHED.get(config.name, PublishedSize()),
        note=NOTES.get(config.name, ""),
    )


@cache  # every fold of a data set asks for the same model
def forward_gmacs(config: ModelConfig, outputs: int | None = None) -> float:
    """Return the multiply-adds of one clip's forward pass, in 10^9.

    outputs: of a classifier with so many outputs; None: of pre-training.
    """
    single = Precision(compute="fp32")
    if outputs is not None:
        return count_forward(lambda: Classifier(config, outputs), _shapes(config), (), 2, single).gmacs
    masker = Masker(config, paper_masks(config))
    masks = Masks.stack([masker.sample(np.random.default_rng(0)) for _ in range(2)])
    return count_forward(lambda: MaskedAutoencoder(config), _shapes(config), (masks,), 2, single).gmacs


def single_precision_share(config: ModelConfig, precision: Precision) -> float:
    """Return the share of the multiply-adds of pre-training that stay in single precision, as fp32 decoders do."""
    masker = Masker(config, paper_masks(config))
    masks = Masks.stack([masker.sample(np.random.default_rng(0)) for _ in range(2)])
    cost = count_forward(
        lambda: MaskedAutoencoder(config, precision.fp32_decoder), _shapes(config), (masks,), 2, precision
    )
    return cost.single_gmacs / cost.gmacs


def training_bytes(
    config: ModelConfig, masks: MaskConfig, batch: int, precision: Precision, checkpointing: bool = False
) -> int:
    """Return the memory of one device in pre-training: weights, gradients, two moments, and the activations."""

    def build() -> MaskedAutoencoder:
        model = MaskedAutoencoder(config, precision.fp32_decoder)
        model.checkpoint_activations(checkpointing)
        return model

    masker, random = Masker(config, masks), np.random.default_rng(0)
    batch_masks = Masks.stack([masker.sample(random) for _ in range(2)] * (batch // 2 + 1))
    cost = count_forward(build, _shapes(config), (batch_masks,), batch, precision)
    return sum(cost.parts.values()) * _STATE_BYTES + cost.activation_bytes


Build = Callable[[], nn.Module]
Shapes = tuple[tuple[int, ...] | None, ...]


def _shapes(config: ModelConfig) -> Shapes:
    geometry = config.geometry
    by_modality = (("v", geometry.video_shape), ("a", geometry.audio_shape))
    return tuple(shape if name in config.modalities else None for name, shape in by_modality)


def _stage(build: Build, shapes: Shapes, masks: tuple[Masks, ...], batch: int, precision: Precision) -> StageSummary:
    cost = count_forward(build, shapes, masks, batch, precision)
    parts = {name or "layer weights": count for name, count in cost.parts.items() if count}
    return StageSummary(
        parameters=sum(parts.values()), parts=parts, gmacs=cost.gmacs, activation_bytes=cost.activation_bytes
    )
