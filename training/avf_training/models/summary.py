"""Cost of a model, counted without running it: parameters by part, multiply-adds, tokens, activation memory.

Multiply-adds are counted by torch's FlopCounterMode on the meta device, memory by the tensors that autograd saves in a
forward pass on fake tensors. The papers print multiply-adds as FLOPs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from avf_training.models.classifier import Classifier
from avf_training.models.config import ModelConfig
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.mask_sampling import MaskConfig, Masker, paper_masks
from avf_training.models.masks import Masks
from avf_training.models.precision import Precision

_STATE_BYTES = 16  # per parameter: weight, gradient and AdamW's two moments in fp32
CLASSES = 11  # MAFW, for which the papers count fine-tuning parameters


@dataclass(frozen=True, kw_only=True)
class PublishedSize:
    """The size of a model as the papers print it; None where they print nothing."""

    finetune_m: float | None = None  # parameters in fine-tuning, in millions
    pretrain_m: float | None = None  # parameters in pre-training, in millions
    finetune_g: float | None = None  # multiply-adds in fine-tuning, in 10^9


PUBLISHED: Mapping[str, PublishedSize] = {
    "hicmae_t": PublishedSize(finetune_m=20, pretrain_m=None, finetune_g=14),  # HiCMAE, Table 4
    "hicmae_s": PublishedSize(finetune_m=46, pretrain_m=None, finetune_g=28),
    "hicmae_b": PublishedSize(finetune_m=81, pretrain_m=99, finetune_g=46),  # 99: AVF-MAE++, Table 20
    "avfmaepp_b": PublishedSize(finetune_m=169),  # AVF-MAE++, Table 7
    "avfmaepp_l": PublishedSize(finetune_m=303),
    "avfmaepp_h": PublishedSize(finetune_m=521),
    "table20_vanilla_lgi": PublishedSize(finetune_m=None, pretrain_m=142),
    "table20_improved_lgi": PublishedSize(finetune_m=None, pretrain_m=163),
}
NOTES: Mapping[str, str] = {
    "hicmae_t": "its pre-training decoder is unpublished; chosen here: 128 wide, 2 heads",
    "nano": "ours, for laptops and tests",
}


@dataclass(frozen=True, kw_only=True)
class StageSummary:
    """Cost of one model in pre-training or in fine-tuning."""

    parameters: int  # in all
    parts: dict[str, int]  # parameters by part
    gmacs: float  # multiply-adds of one clip's forward pass, in 10^9
    activation_bytes: int  # that the backward pass of a batch needs


@dataclass(frozen=True, kw_only=True)
class ModelSummary:
    """Cost of one model in both stages."""

    name: str  # of the preset
    pretrain: StageSummary  # masked autoencoder
    finetune: StageSummary  # classifier
    tokens: dict[str, int]  # of one clip, by name
    published: PublishedSize  # the papers' figures
    note: str  # what the papers leave open


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


def forward_gmacs(config: ModelConfig, outputs: int | None = None) -> float:
    """Return the multiply-adds of one clip's forward pass, in 10^9.

    outputs: of a classifier with so many outputs; None: of pre-training.
    """
    if outputs is not None:
        return _build_and_count(lambda: Classifier(config, outputs), _shapes(config), ())[1]
    masker = Masker(config, paper_masks(config))
    masks = Masks.stack([masker.sample(np.random.default_rng(0)) for _ in range(2)])
    _, gmacs = _build_and_count(lambda: MaskedAutoencoder(config), _shapes(config), (masks,))
    return gmacs


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
    with torch.device("meta"):
        parameters = sum(p.numel() for p in build().parameters())
    return parameters * _STATE_BYTES + _activations(build, _shapes(config), (batch_masks,), batch, precision)


Build = Callable[[], nn.Module]
Shapes = tuple[tuple[int, ...] | None, ...]


def _shapes(config: ModelConfig) -> Shapes:
    geometry = config.geometry
    by_modality = (("v", geometry.video_shape), ("a", geometry.audio_shape))
    return tuple(shape if name in config.modalities else None for name, shape in by_modality)


def _build_and_count(build: Build, shapes: Shapes, masks: tuple[Masks, ...]) -> tuple[nn.Module, float]:
    """Return the model on the meta device, and its multiply-adds for one clip in 10^9."""
    with torch.device("meta"):
        model = build()
        inputs = [None if shape is None else torch.zeros(2, *shape) for shape in shapes]
        pair_masks = [Masks(*(part[:2].to("meta") for part in batch)) for batch in masks]
        with FlopCounterMode(display=False) as counter:
            model(*inputs, *pair_masks)
    return model, counter.get_total_flops() / 2 / 2 / 1e9  # two clips, two operations a multiply-add


def _stage(build: Build, shapes: Shapes, masks: tuple[Masks, ...], batch: int, precision: Precision) -> StageSummary:
    model, gmacs = _build_and_count(build, shapes, masks)
    parts = {name: sum(p.numel() for p in child.parameters()) for name, child in model.named_children()}
    total = sum(p.numel() for p in model.parameters())
    parts["layer weights"] = total - sum(parts.values())
    activation_bytes = _activations(build, shapes, masks, batch, precision)
    return StageSummary(
        parameters=total,
        parts={name: n for name, n in parts.items() if n},
        gmacs=gmacs,
        activation_bytes=activation_bytes,
    )


def _activations(build: Build, shapes: Shapes, masks: tuple[Masks, ...], batch: int, precision: Precision) -> int:
    """Return the bytes that the backward pass of `batch` clips needs besides parameters, with fused attention."""
    saved: dict[int, int] = {}  # bytes by storage: tensors that share a storage count once
    alive: list[Tensor] = []  # held so that no later storage takes the identity of a counted one

    def count(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        saved[storage._cdata] = storage.nbytes()
        alive.append(x)
        return x

    with FakeTensorMode() as fake:
        batch_masks = [Masks(*(fake.from_tensor(part)[:batch] for part in stacked)) for stacked in masks]
        model = build()
        inputs = [None if shape is None else torch.zeros(batch, *shape) for shape in shapes]
        parameters = {p.untyped_storage()._cdata for p in (*model.parameters(), *model.buffers())}
        with torch.autograd.graph.saved_tensors_hooks(count, lambda x: x), precision.autocast("cpu"):
            out = model(*inputs, *batch_masks)
    del out
    return sum(size for storage, size in saved.items() if storage not in parameters)
