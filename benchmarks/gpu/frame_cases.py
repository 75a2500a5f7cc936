"""The models of the frame-level side with random inputs: from pictures, sound and features to a loss.

Shapes: B pictures, windows or waves, T steps, C values of a feature, O outputs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any
from unittest import mock

import torch
from avf_training.framewise.losses import (
    valence_arousal_loss,
    weighted_action_unit_loss,
    weighted_expression_loss,
)
from avf_training.framewise.models import static_nets
from avf_training.framewise.models.cross_attention import AudioVisualModel
from avf_training.framewise.models.fusion_transformer import FrameTask, FusionTransformer
from avf_training.framewise.models.image_mae import ImageMAE, hidden_patches_loss
from avf_training.framewise.models.image_sizes import IMAGE_PRESETS
from avf_training.framewise.models.image_vit import ImageFeatureModel
from avf_training.framewise.models.speech_encoder import SpeechEncoderConfig, SpeechModel, build_speech_encoder
from avf_training.framewise.models.speech_heads import SpeechHead
from avf_training.framewise.models.static_nets import StaticNet
from avf_training.framewise.models.static_sizes import INPUT_PX, Backbone
from avf_training.framewise.models.temporal import TemporalVersion, temporal_model
from avf_training.framewise.models.vggish import VGGish
from avf_training.models.precision import at_least_fp32
from torch import Tensor, nn
from torchvision.models import EfficientNet
from torchvision.models.efficientnet import MBConvConfig

from benchmarks.gpu.settings import Settings

Inputs = tuple[Tensor, ...]
OUTPUTS = {"va": 2, "expr": 8, "au": 12}
_WINDOWS, _STEPS, _WIDTH = 8, 30, 256
_CONVOLUTIONS = ((64, 10, 5), *4 * ((64, 3, 2),), *2 * ((64, 2, 2),))
"""wav2vec 2.0's kernels and strides, narrower: float64 has no fast convolution on a CPU."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model, its inputs, and what is compared of a pass."""

    name: str
    build: Callable[[], nn.Module]  # on the CPU, with random weights
    inputs: Callable[[], Inputs]  # on the CPU, random
    evaluate: Callable[[Any, Inputs], tuple[Tensor, Tensor]]  # from what the model returns to the outputs and the loss
    freezes_norms: bool = False  # batch norms use fixed moments
    has_relu: bool = False  # a unit that is nearer to 0 than fp32 tells changes its gradient as a whole


def list_cases(settings: Settings) -> Iterator[Case]:
    """Yield the models, those first whose pass takes least; in a dry run few, and small ones."""
    versions: tuple[TemporalVersion, ...] = ("v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8")
    tasks: tuple[FrameTask, ...] = ("va", "expr", "au")
    width = 32 if settings.tiny else _WIDTH
    for version in versions[2::3] if settings.tiny else versions:
        yield _temporal(version, width)
    yield _cross_attention(width)
    for task in tasks[2:] if settings.tiny else tasks:
        yield _fusion(task)
    yield _vggish(settings)
    yield _speech("wav2vec2 with group norm, recurrent head", stable_norm=False)
    if not settings.tiny:
        yield _speech("wav2vec2 with layer norms, attention head", stable_norm=True)
    encoder = "tiny" if settings.tiny else "b"
    yield _image_mae(encoder)
    for task in tasks[1:2] if settings.tiny else tasks:
        yield _extractor(encoder if task == "expr" else "small", task)
    backbones: list[Backbone] = ["efficientnet_b1"]
    if not settings.tiny:
        backbones += ["efficientnet_b4", "vit_b_16"]
    if not settings.tiny and find_spec("timm"):
        backbones.append("hrnet_w32")
    for backbone in backbones:
        yield _static(backbone, 32 if settings.tiny else INPUT_PX[backbone], narrow=settings.tiny)


def random_pictures(count: int, side_px: int) -> Tensor:
    """Return normalized pictures (B, 3, P, P) that differ as photographs do: smooth, each of a colour of its own."""
    rough = nn.functional.interpolate(_noise(count, 3, 8, 8), (side_px, side_px), mode="bilinear")
    return rough + _noise(count, 3, 1, 1) + 0.1 * _noise(count, 3, side_px, side_px)


def _noise(*shape: int) -> Tensor:
    return torch.randn(*shape)


def _random(widths: tuple[int, ...], steps: int = _STEPS) -> Callable[[], Inputs]:
    return lambda: tuple(_noise(_WINDOWS, steps, width) for width in widths)


def _case(
    name: str, build: Callable[[], nn.Module], inputs: Callable[[], Inputs], task: str, *, has_relu: bool = False
) -> Case:
    return Case(name=name, build=build, inputs=inputs, evaluate=lambda out, _: _task_loss(out, task), has_relu=has_relu)


def _task_loss(out_BO: Tensor, task: str) -> tuple[Tensor, Tensor]:
    """Return the outputs, and their loss for labels that follow from their numbers."""
    out_NO = at_least_fp32(out_BO).flatten(0, -2)
    number_N = torch.arange(len(out_NO), device=out_NO.device)
    if task == "expr":
        return out_NO, weighted_expression_loss(out_NO, number_N % OUTPUTS["expr"])
    if task == "va":
        # In float64: each device rounds a sine of float32 in its own way.
        truth_N2 = torch.stack(((number_N.double() * 0.7).sin(), (number_N.double() * 0.4).cos()), -1)
        return out_NO, valence_arousal_loss(out_NO, truth_N2.to(out_NO.dtype))
    units_A = torch.arange(out_NO.shape[-1], device=out_NO.device)
    return out_NO, weighted_action_unit_loss(out_NO, (number_N[:, None] + units_A) % 3 == 0)


def _square(out: Tensor, _: Inputs) -> tuple[Tensor, Tensor]:
    out = at_least_fp32(out)
    return out, out.square().mean()


def _temporal(version: TemporalVersion, width: int) -> Case:
    task = "expr" if version == "v2" else "va"
    build = partial(temporal_model, version, width, OUTPUTS[task], _STEPS)
    return _case(f"temporal {version}, {task}", build, _random((width,)), task, has_relu=True)


def _cross_attention(width: int) -> Case:
    # The deviation of two streams that agree has no gradient, so the way of joining with it is left out.
    build = partial(AudioVisualModel, "mean", 4 * width, width)
    return _case("cross-attention, va", build, _random((4 * width, width, width)), "va", has_relu=True)


def _fusion(task: FrameTask) -> Case:
    build = partial(FusionTransformer, task, visual_width=768, audio_width=128)
    return _case(f"fusion transformer, {task}", build, _random((768, 128), 100), task, has_relu=True)


def _vggish(settings: Settings) -> Case:
    build = partial(VGGish, 6 * (8,), (32, 16)) if settings.tiny else VGGish
    return Case(name="VGGish", build=build, inputs=lambda: (_noise(4, 96, 64),), evaluate=_square)


def _speech(name: str, *, stable_norm: bool) -> Case:
    config = SpeechEncoderConfig(
        stable_norm=stable_norm, width=128, layers=3, heads=4, ffn_width=256, convolutions=_CONVOLUTIONS
    )
    head = SpeechHead("va", "attention" if stable_norm else "recurrent", width=config.width, heads=(8, 4))

    def evaluate(out: Any, inputs: Inputs) -> tuple[Tensor, Tensor]:
        return _square(out.valence_arousal_BS2, inputs)

    return Case(
        name=name,
        build=lambda: SpeechModel(build_speech_encoder(config), head),
        inputs=lambda: (_noise(2, 64_000),),
        evaluate=evaluate,
        freezes_norms=True,
    )


def _image_mae(size: str) -> Case:
    config = IMAGE_PRESETS[size]

    def evaluate(masked: Any, inputs: Inputs) -> tuple[Tensor, Tensor]:
        masked = masked._replace(
            prediction_BLP=at_least_fp32(masked.prediction_BLP), mask_BL=at_least_fp32(masked.mask_BL)
        )
        return masked.prediction_BLP, hidden_patches_loss(masked, inputs[0], config.patch_px, norm_pix=True)

    return Case(
        name=f"image MAE, {size}",
        build=lambda: ImageMAE(config),
        inputs=lambda: (random_pictures(4, config.size_px), torch.rand(4, config.grid**2)),
        evaluate=evaluate,
    )


def _extractor(size: str, task: str) -> Case:
    config = IMAGE_PRESETS[size]
    build = partial(ImageFeatureModel, config, OUTPUTS[task])
    return _case(f"extractor {size}, {task}", build, lambda: (random_pictures(4, config.size_px),), task)


def _narrow_static(backbone: Backbone) -> StaticNet:
    """Return a network with two narrow stages in place of EfficientNet's, for a dry run."""
    stages = [MBConvConfig(2, 3, 2, 8, 8, 1), MBConvConfig(2, 3, 2, 8, 16, 1)]
    net = EfficientNet(stages, dropout=0.2, last_channel=32)
    with mock.patch.object(static_nets, "efficientnet_b1", return_value=net):
        return StaticNet(backbone)


def _static(backbone: Backbone, side_px: int, *, narrow: bool) -> Case:
    def evaluate(out: Any, inputs: Inputs) -> tuple[Tensor, Tensor]:
        return _square(torch.cat((out.embedding_BE, out.expressions_BK, out.valence_arousal_B2), 1), inputs)

    return Case(
        name=backbone,
        build=partial(_narrow_static, backbone) if narrow else partial(StaticNet, backbone),
        inputs=lambda: (random_pictures(4, side_px),),
        evaluate=evaluate,
        freezes_norms=True,
    )
