"""What a model costs, without running it: parameters by part, multiply-adds, tokens, activation memory.

Multiply-adds are counted by torch's FlopCounterMode on the meta device, memory by what autograd keeps of a forward pass
on fake tensors. The papers print multiply-adds as FLOPs.
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
from avf_training.models.masking import MaskConfig, Masker, paper_masks
from avf_training.models.masks import Masks
from avf_training.models.precision import Precision

_STATE_BYTES = 16  # of a parameter: weight, gradient and two moments in fp32
CLASSES = 11  # MAFW, for which the papers count fine-tuning parameters


@dataclass(frozen=True, kw_only=True)
class PublishedSize:
    """What the papers print: millions of parameters, multiply-adds in G; None where they print nothing."""

    finetune_m: float | None = None
    pretrain_m: float | None = None
    finetune_g: float | None = None


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
    """Pre-training or fine-tuning of one model. gmacs: forward multiply-adds of one clip in 10^9."""

    parameters: int
    parts: dict[str, int]
    gmacs: float
    activation_bytes: int


@dataclass(frozen=True, kw_only=True)
class ModelSummary:
    """One model. tokens: name -> count of one clip."""

    name: str
    pretrain: StageSummary
    finetune: StageSummary
    tokens: dict[str, int]
    published: PublishedSize
    note: str


def summarize_model(config: ModelConfig, batch: int, precision: Precision) -> ModelSummary:
    """Count everything for `batch` clips in `precision`."""
    masker, random = Masker(config, paper_masks(config)), np.random.default_rng(0)
    clips = [masker.draw(random) for _ in range(2)]
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

    masks = Masks.of(clips * (batch // 2 + 1))
    return ModelSummary(
        name=config.name,
        pretrain=_stage(lambda: MaskedAutoencoder(config, precision.fp32_decoder), shapes, (masks,), batch, precision),
        finetune=_stage(lambda: Classifier(config, CLASSES), shapes, (), batch, precision),
        tokens=tokens,
        published=PUBLISHED.get(config.name, PublishedSize()),
        note=NOTES.get(config.name, ""),
    )


def forward_gmacs(config: ModelConfig, outputs: int | None = None) -> float:
    """Multiply-adds of one clip's forward pass in 10^9: in pre-training, or in a classifier of so many outputs."""
    if outputs is not None:
        return _built_and_counted(lambda: Classifier(config, outputs), _shapes(config), ())[1]
    masker = Masker(config, paper_masks(config))
    masks = Masks.of([masker.draw(np.random.default_rng(0)) for _ in range(2)])
    _, gmacs = _built_and_counted(lambda: MaskedAutoencoder(config), _shapes(config), (masks,))
    return gmacs


def training_bytes(
    config: ModelConfig, masks: MaskConfig, batch: int, precision: Precision, checkpointing: bool = False
) -> int:
    """Memory of one device in pre-training: weights, gradients, two moments (fp32), and what a backward pass keeps."""

    def build() -> MaskedAutoencoder:
        model = MaskedAutoencoder(config, precision.fp32_decoder)
        model.checkpoint_activations(checkpointing)
        return model

    masker, random = Masker(config, masks), np.random.default_rng(0)
    of_batch = Masks.of([masker.draw(random) for _ in range(2)] * (batch // 2 + 1))
    with torch.device("meta"):
        parameters = sum(p.numel() for p in build().parameters())
    return parameters * _STATE_BYTES + _activations(build, _shapes(config), (of_batch,), batch, precision)


Build = Callable[[], nn.Module]
Shapes = tuple[tuple[int, ...] | None, ...]


def _shapes(config: ModelConfig) -> Shapes:
    geometry = config.geometry
    both = (("v", geometry.video_shape), ("a", geometry.audio_shape))
    return tuple(shape if name in config.modalities else None for name, shape in both)


def _built_and_counted(build: Build, shapes: Shapes, masks: tuple[Masks, ...]) -> tuple[nn.Module, float]:
    """The model on the meta device, and its multiply-adds for one clip in 10^9."""
    with torch.device("meta"):
        model = build()
        inputs = [None if shape is None else torch.zeros(2, *shape) for shape in shapes]
        of_two = [Masks(*(part[:2].to("meta") for part in one)) for one in masks]
        with FlopCounterMode(display=False) as counter:
            model(*inputs, *of_two)
    return model, counter.get_total_flops() / 2 / 2 / 1e9  # two clips, two operations a multiply-add


def _stage(build: Build, shapes: Shapes, masks: tuple[Masks, ...], batch: int, precision: Precision) -> StageSummary:
    model, gmacs = _built_and_counted(build, shapes, masks)
    parts = {name: sum(p.numel() for p in child.parameters()) for name, child in model.named_children()}
    total = sum(p.numel() for p in model.parameters())
    parts["layer weights"] = total - sum(parts.values())
    kept = _activations(build, shapes, masks, batch, precision)
    return StageSummary(
        parameters=total, parts={name: n for name, n in parts.items() if n}, gmacs=gmacs, activation_bytes=kept
    )


def _activations(build: Build, shapes: Shapes, masks: tuple[Masks, ...], batch: int, precision: Precision) -> int:
    """Bytes that the backward pass of `batch` clips needs, parameters aside, with fused attention."""
    kept: dict[int, int] = {}
    alive: list[Tensor] = []  # so that no later storage takes the identity of one counted

    def keep(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        kept[storage._cdata] = storage.nbytes()
        alive.append(x)
        return x

    with FakeTensorMode() as fake:
        of_batch = [Masks(*(fake.from_tensor(part)[:batch] for part in one)) for one in masks]
        model = build()
        inputs = [None if shape is None else torch.zeros(batch, *shape) for shape in shapes]
        own = {p.untyped_storage()._cdata for p in (*model.parameters(), *model.buffers())}
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x), precision.autocast("cpu"):
            out = model(*inputs, *of_batch)
    del out
    return sum(size for storage, size in kept.items() if storage not in own)
