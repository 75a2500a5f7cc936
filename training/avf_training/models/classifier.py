"""Fine-tuning: encoders and fusion without decoders, and a head (HiCMAE 3.4; AVF-MAE++ 3.4).

Shapes: B batch, N tokens, K regions, C width, L layers, J outputs.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, get_args

import torch
from avf_shards.errors import UserError
from avf_shards.settings.config import bind, refuse
from torch import Tensor, nn

from avf_training.models.config import HeadKind, ModelConfig
from avf_training.models.detector_head import DetectorHead, time_tokens
from avf_training.models.drop_path import number_drop_paths
from avf_training.models.encoder import Encoder, OutputTokens
from avf_training.models.fusion import FusionEncoder
from avf_training.models.init import init_finetuning
from avf_training.models.inputs import check_inputs
from avf_training.models.mae import build_fusion
from avf_training.models.pooling import Pool
from avf_training.models.pretrained import Pretrained
from avf_training.models.saved_config import CONFIG

HEADS: tuple[HeadKind, ...] = get_args(HeadKind)


class ClassifierOutput(NamedTuple):
    """Outputs of a classifier."""

    logits_BJ: Tensor
    feature_BC: Tensor  # what the head reads, after its norm


@dataclass(frozen=True, kw_only=True)
class OutputSpec:
    """The meaning of a classifier's outputs: classes, or dimensions of emotion."""

    names: tuple[str, ...] = ()  # of the classes or dimensions; empty when unknown
    is_classification: bool = True  # False: dimensions
    value_range: tuple[float, float] | None = None  # that dimensions are scaled into; None: unbounded
    # That logits of classes are divided by before the softmax; fitted on validation clips, 1: not calibrated.
    temperature: float = 1.0
    pool: Pool = "mean"  # of a detector of fakes: how the probabilities of a file's windows become that of the file

    def __post_init__(self) -> None:
        refuse((not 0 < self.temperature < math.inf, f"temperature {self.temperature:g} must be above 0"))


class Classifier(Pretrained):
    """A model that maps clips to `outputs` numbers: logits of classes, or dimensions to regress.

    Each modality is the softmax-weighted sum of its layers (HiCMAE eq. 12, AVF-MAE++ eq. 11). With both modalities the
    head reads HiCMAE's four means (video, audio, fused video, fused audio) or AVF-MAE++'s two fused means; with one
    modality it reads the mean of that modality.

    With head `detector` the tokens in time of both encoders go through a `DetectorHead` in place of the fusion.
    """

    kind = "classifier"

    def __init__(
        self,
        config: ModelConfig,
        outputs: int,
        drop_path: float = 0.0,
        output_spec: OutputSpec | None = None,
        head: HeadKind = "linear",
    ) -> None:
        super().__init__()
        if outputs < 1:
            raise ValueError(f"outputs {outputs} must be at least 1")
        if output_spec is not None and output_spec.names and len(output_spec.names) != outputs:
            raise ValueError(f"outputs {outputs} have {len(output_spec.names)} names")
        self.output_spec = output_spec or OutputSpec()
        if config.modalities == "av" and config.fusion == "iavcl" and config.encoder == "vit":
            raise ValueError("fusion 'iavcl' pairs regions; fine-tuning it needs encoder 'lgi' or 'lgi_vanilla'")
        self.config, self.outputs, self.head_kind = config, outputs, head
        tokens: OutputTokens = "local" if head == "detector" else "region"
        if "v" in config.modalities:
            self.encoder_video = Encoder(config, "video", tokens, drop_path)
            self.layer_weights_video = _uniform_weights(config.video.depth) if config.layer_fusion else None
        if "a" in config.modalities:
            self.encoder_audio = Encoder(config, "audio", tokens, drop_path)
            self.layer_weights_audio = _uniform_weights(config.audio.depth) if config.layer_fusion else None
        width = (config.video if "v" in config.modalities else config.audio).width
        if head == "detector":
            self.detector = DetectorHead(config)
            width *= 3
            for encoder in self.encoders():
                for module in encoder.unused_modules():  # DDP would wait for gradients that never come
                    module.requires_grad_(False)
        elif config.modalities == "av":
            self.fusion = build_fusion(config, drop_path)
            width *= 2 if self._reads_fused_only else 4
        self.fc_norm, self.head = nn.LayerNorm(width, config.norm_eps), nn.Linear(width, outputs)
        init_finetuning(self)
        number_drop_paths(self)

    def init_arguments(self) -> dict[str, Any]:
        spec = asdict(self.output_spec)
        if self.output_spec.temperature == 1.0:
            del spec["temperature"]  # earlier versions read models that are not calibrated
        if self.output_spec.pool == "mean":
            del spec["pool"]
        values: dict[str, Any] = {"outputs": self.outputs, "output_spec": spec}
        return values if self.head_kind == "linear" else values | {"head": self.head_kind}

    @classmethod
    def _parse_arguments(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        outputs = values.get("outputs")
        if not isinstance(outputs, int):
            raise UserError(f"{CONFIG}: outputs {outputs!r} must be a whole number")
        if (head := values.get("head", "linear")) not in HEADS:
            raise UserError(f"{CONFIG}: head {head!r} must be one of {', '.join(HEADS)}")
        return {
            "outputs": outputs,
            "head": head,
            "output_spec": bind(OutputSpec, values.get("output_spec", {}), f"{CONFIG}: output_spec"),
        }

    @property
    def _reads_fused_only(self) -> bool:
        """Return whether the head reads the fused means only. Without HAFE the head reads HiCMAE's four means."""
        return self.config.fusion == "iavcl" and self.config.hafe

    def encoders(self) -> list[Encoder]:
        """Return the encoders of the model's modalities."""
        return [module for module in self.children() if isinstance(module, Encoder)]

    def checkpoint_activations(self, on: bool = True) -> None:
        """Recompute the activations of each encoder block in the backward pass instead of storing them."""
        for encoder in self.encoders():
            encoder.checkpointing = on

    def forward(self, video_BCTHW: Tensor | None, audio_B1MF: Tensor | None) -> ClassifierOutput:
        """Return logits and feature. Raises ValueError for inputs that do not fit, before anything is computed."""
        config = self.config
        check_inputs(config, video_BCTHW, audio_B1MF)
        video = audio = None
        if video_BCTHW is not None:
            video = self.encoder_video(video_BCTHW, None, tuple(range(config.video.depth))).layers
        if audio_B1MF is not None:
            audio = self.encoder_audio(audio_B1MF, None, tuple(range(config.audio.depth))).layers
        feature_BC = self.fc_norm(self.feature(video, audio))
        return ClassifierOutput(self.head(feature_BC), feature_BC)

    def predictions(self, logits_BJ: Tensor) -> Tensor:
        """Return calibrated probabilities of the classes, or dimensions in their range, (B, J) in fp32."""
        logits_BJ = logits_BJ.float()
        spec = self.output_spec
        if spec.is_classification:
            return (logits_BJ / spec.temperature).softmax(-1)
        return scale_outputs(logits_BJ, spec.value_range)

    def feature(self, video: list[Tensor] | None, audio: list[Tensor] | None) -> Tensor:
        """Return what the head reads, before its norm, (B, C), from the layers of both encoders."""
        if video is None or audio is None:
            layers, weights = (video, "layer_weights_video") if video is not None else (audio, "layer_weights_audio")
            assert layers is not None
            return weighted_layers(layers, getattr(self, weights)).mean(1)
        v, a = weighted_layers(video, self.layer_weights_video), weighted_layers(audio, self.layer_weights_audio)
        if self.head_kind == "detector":
            geometry = self.config.geometry
            feature_BC: Tensor = self.detector(
                time_tokens(v, self.encoder_video.order_N, geometry.video_grid[0]),
                time_tokens(a, self.encoder_audio.order_N, geometry.audio_grid[0]),
            )
            return feature_BC
        if isinstance(self.fusion, FusionEncoder):
            fused = self.fusion(video[-1], audio[-1])
            return torch.cat([part.mean(1) for part in (v, a, *fused)], -1)
        fused = self.fusion(video[-1], audio[-1], torch.cat((v, a), -1))
        parts = fused if self._reads_fused_only else (v, a, *fused)
        return torch.cat([part.mean(1) for part in parts], -1)


def scale_outputs(outputs: Tensor, value_range: tuple[float, float] | None) -> Tensor:
    """Scale outputs into [low, high]: by tanh if the range holds both signs, else by a sigmoid."""
    if value_range is None:
        return outputs
    low, high = value_range
    if low < 0 < high:
        return (low + high) / 2 + (high - low) / 2 * outputs.tanh()
    return low + (high - low) * outputs.sigmoid()


def _uniform_weights(layers: int) -> nn.Parameter:
    return nn.Parameter(torch.full((layers,), 1 / layers))


def weighted_layers(layers: list[Tensor], weights_L: Tensor | None) -> Tensor:
    """Return the sum of the layers, each (B, N, C), with softmax weights; without weights, the last layer."""
    if weights_L is None:
        return layers[-1]
    return (torch.stack(layers, -1) * weights_L.softmax(0)).sum(-1)
