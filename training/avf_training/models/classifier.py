"""Fine-tuning: encoders and fusion without decoders, and a head (HiCMAE 3.6; AVF-MAE++ 3.3).

Shapes: B batch, N tokens, K regions, C width, L layers, J outputs.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from avf_shards.config import bind
from avf_shards.errors import UserError
from torch import Tensor, nn

from avf_training.models.config import ModelConfig
from avf_training.models.encoder import Encoder
from avf_training.models.fusion import FusionEncoder
from avf_training.models.init import init_finetuning
from avf_training.models.inputs import check_inputs
from avf_training.models.mae import build_fusion
from avf_training.models.pretrained import CONFIG, Pretrained


class ClassifierOutput(NamedTuple):
    """logits (B, J); feature: what the head reads, after its norm."""

    logits_BJ: Tensor
    feature_BC: Tensor


@dataclass(frozen=True, kw_only=True)
class OutputSpec:
    """What a classifier's outputs are: names of classes, or of dimensions kept in the range `within`."""

    names: tuple[str, ...] = ()
    classes: bool = True
    within: tuple[float, float] | None = None


class Classifier(Pretrained):
    """Clips to `outputs` numbers: classes, or dimensions to regress.

    Each modality is the softmax-weighted sum of its layers (eq. 11). The head reads, with both modalities, HiCMAE's
    four means (both modalities, both fused) or AVF-MAE++'s two fused ones; with one, that modality's mean.
    """

    kind = "classifier"

    def __init__(
        self, config: ModelConfig, outputs: int, drop_path: float = 0.0, meaning: OutputSpec | None = None
    ) -> None:
        super().__init__()
        if outputs < 1:
            raise ValueError(f"outputs {outputs} must be at least 1")
        if meaning is not None and meaning.names and len(meaning.names) != outputs:
            raise ValueError(f"outputs {outputs} have {len(meaning.names)} names")
        self.meaning = meaning or OutputSpec()
        if config.modalities == "av" and config.fusion == "iavcl" and config.encoder == "vit":
            raise ValueError("fusion 'iavcl' pairs regions; fine-tuning it needs encoder 'lgi' or 'lgi_vanilla'")
        self.config, self.outputs = config, outputs
        if "v" in config.modalities:
            self.encoder_video = Encoder(config, "video", "region", drop_path)
            self.layer_weights_video = _even(config.video.depth) if config.layer_fusion else None
        if "a" in config.modalities:
            self.encoder_audio = Encoder(config, "audio", "region", drop_path)
            self.layer_weights_audio = _even(config.audio.depth) if config.layer_fusion else None
        width = (config.video if "v" in config.modalities else config.audio).width
        if config.modalities == "av":
            self.fusion = build_fusion(config, drop_path)
            width *= 2 if self._iavcl_alone else 4
        self.fc_norm, self.head = nn.LayerNorm(width, config.norm_eps), nn.Linear(width, outputs)
        init_finetuning(self)

    def settings(self) -> dict[str, Any]:
        return {"outputs": self.outputs, "meaning": asdict(self.meaning)}

    @classmethod
    def _arguments(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        outputs = values.get("outputs")
        if not isinstance(outputs, int):
            raise UserError(f"{CONFIG}: outputs {outputs!r} must be a whole number")
        return {"outputs": outputs, "meaning": bind(OutputSpec, values.get("meaning", {}), f"{CONFIG}: meaning")}

    @property
    def _iavcl_alone(self) -> bool:
        """Whether the head reads the fused means only: without HAFE, HiCMAE's four means stand in its place."""
        return self.config.fusion == "iavcl" and self.config.hafe

    def encoders(self) -> list[Encoder]:
        return [module for module in self.children() if isinstance(module, Encoder)]

    def checkpoint_activations(self, on: bool = True) -> None:
        """Recompute the activations of each encoder block in the backward pass instead of keeping them."""
        for encoder in self.encoders():
            encoder.checkpointing = on

    def forward(self, video_BCTHW: Tensor | None, audio_B1MF: Tensor | None) -> ClassifierOutput:
        """Raises ValueError for inputs that do not fit the config, before any compute."""
        config = self.config
        check_inputs(config, video_BCTHW, audio_B1MF)
        video = audio = None
        if video_BCTHW is not None:
            video = self.encoder_video(video_BCTHW, None, tuple(range(config.video.depth))).layers
        if audio_B1MF is not None:
            audio = self.encoder_audio(audio_B1MF, None, tuple(range(config.audio.depth))).layers
        feature_BC = self.fc_norm(self.feature(video, audio))
        return ClassifierOutput(self.head(feature_BC), feature_BC)

    def answers(self, logits_BJ: Tensor) -> Tensor:
        """Outputs as they are meant: shares of the classes, or dimensions in their range."""
        logits_BJ = logits_BJ.float()
        return logits_BJ.softmax(-1) if self.meaning.classes else scale_outputs(logits_BJ, self.meaning.within)

    def feature(self, video: list[Tensor] | None, audio: list[Tensor] | None) -> Tensor:
        """What the head reads, before its norm, from the layers of both encoders, (B, ...)."""
        if video is None or audio is None:
            only, weights = (video, "layer_weights_video") if video is not None else (audio, "layer_weights_audio")
            assert only is not None
            return weighted_layers(only, getattr(self, weights)).mean(1)
        v, a = weighted_layers(video, self.layer_weights_video), weighted_layers(audio, self.layer_weights_audio)
        if isinstance(self.fusion, FusionEncoder):
            fused = self.fusion(video[-1], audio[-1])
            return torch.cat([part.mean(1) for part in (v, a, *fused)], -1)
        fused = self.fusion(video[-1], audio[-1], torch.cat((v, a), -1))
        parts = fused if self._iavcl_alone else (v, a, *fused)
        return torch.cat([part.mean(1) for part in parts], -1)


def scale_outputs(outputs: Tensor, within: tuple[float, float] | None) -> Tensor:
    """Outputs brought into [low, high]: by tanh where it holds both signs, by a sigmoid where it does not."""
    if within is None:
        return outputs
    low, high = within
    if low < 0 < high:
        return (low + high) / 2 + (high - low) / 2 * outputs.tanh()
    return low + (high - low) * outputs.sigmoid()


def _even(layers: int) -> nn.Parameter:
    return nn.Parameter(torch.full((layers,), 1 / layers))


def weighted_layers(layers: list[Tensor], weights_L: Tensor | None) -> Tensor:
    """Sum of the layers, each (B, N, C), by softmax weights; without weights the last one."""
    if weights_L is None:
        return layers[-1]
    return (torch.stack(layers, -1) * weights_L.softmax(0)).sum(-1)
