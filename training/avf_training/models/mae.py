"""Pre-training: masked autoencoding of video and audio (HiCMAE 3; AVF-MAE++ 3).

One class is both models; its config says which encoder and which fusion. Shapes: B batch, V visible tokens,
M tokens to reconstruct, C width, P values of a patch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from avf_training.models.config import ModalityConfig, ModelConfig
from avf_training.models.decoder import SkipDecoder
from avf_training.models.encoder import Encoder, EncoderOutputs, OutputTokens
from avf_training.models.fusion import FusionEncoder
from avf_training.models.iavcl import IAVCL
from avf_training.models.init import init_pretraining
from avf_training.models.inputs import check_inputs
from avf_training.models.masks import Masks
from avf_training.models.precision import at_least_fp32, full_precision
from avf_training.models.pretrained import Pretrained


@dataclass(frozen=True, kw_only=True)
class ReconstructionOutput:
    """Predicted patches, None for a modality that the model lacks, and the features that HCMCL compares."""

    video_BMP: Tensor | None  # predicted patches of M masked tokens
    audio_BMP: Tensor | None  # predicted patches of M masked tokens
    levels: tuple[tuple[Tensor, Tensor], ...]  # mean visible token of each skip layer, video and audio (B, C)


class MaskedAutoencoder(Pretrained):
    """Encoders, fusion and decoders of `config`; with one modality, only its encoder and decoder.

    fp32_decoder: the decoders run in single precision when the rest runs under autocast (AVF-MAE++ 5.2).
    """

    kind = "mae"
    fp32_decoder: bool

    def __init__(self, config: ModelConfig, fp32_decoder: bool = True) -> None:
        super().__init__()
        self.config = config
        self.fp32_decoder = fp32_decoder
        geometry = config.geometry
        output_tokens: OutputTokens = "both" if config.fusion_context == "region" else "local"
        if "v" in config.modalities:
            self.encoder_video = Encoder(config, "video", output_tokens)
            self.decoder_video = SkipDecoder(config, config.video, geometry.video_tokens, geometry.video_values)
        if "a" in config.modalities:
            self.encoder_audio = Encoder(config, "audio", output_tokens)
            self.decoder_audio = SkipDecoder(config, config.audio, geometry.audio_tokens, geometry.audio_values)
        if config.modalities == "av":
            self.fusion = build_fusion(config)
        init_pretraining(self)
        for encoder in self.encoders():
            for module in encoder.unused_modules():  # DDP would wait for gradients that never come
                module.requires_grad_(False)

    def encoders(self) -> list[Encoder]:
        """Return the encoders of the model's modalities."""
        return [module for module in self.children() if isinstance(module, Encoder)]

    def decoders(self) -> list[SkipDecoder]:
        """Return the decoders of the model's modalities."""
        return [module for module in self.children() if isinstance(module, SkipDecoder)]

    def checkpoint_activations(self, on: bool = True) -> None:
        """Recompute the activations of each block in the backward pass instead of storing them."""
        parts: list[Encoder | SkipDecoder] = [*self.encoders(), *self.decoders()]
        for part in parts:
            part.checkpointing = on

    def forward(self, video_BCTHW: Tensor | None, audio_B1MF: Tensor | None, masks: Masks) -> ReconstructionOutput:
        """Return the predicted patches. Raises ValueError for inputs that do not fit, before anything is computed."""
        config = self.config
        check_inputs(config, video_BCTHW, audio_B1MF)
        if self.training and config.modalities == "av" and len(masks.video_visible_BV) < 2:
            raise ValueError("batch of 1: contrastive loss and batch norm need at least 2 clips while training")
        video = audio = None
        if video_BCTHW is not None:
            video = self.encoder_video(video_BCTHW, masks.video_visible_BV, required_layers(config, config.video))
        if audio_B1MF is not None:
            audio = self.encoder_audio(audio_B1MF, masks.audio_visible_BV, required_layers(config, config.audio))
        fused_video, fused_audio = self._fuse(video, audio)
        # The paper keeps decoders in FP32 against overflow (AVF-MAE++ 5.2).
        with full_precision(masks.video_target_BM.device.type, self.fp32_decoder):
            return ReconstructionOutput(
                video_BMP=self._decode("video", video, fused_video, masks.video_position_BV, masks.video_target_BM),
                audio_BMP=self._decode("audio", audio, fused_audio, masks.audio_position_BV, masks.audio_target_BM),
                levels=self._pool_levels(video, audio),
            )

    def level_features(self, video_BCTHW: Tensor, audio_B1MF: Tensor) -> tuple[tuple[Tensor, Tensor], ...]:
        """Return the mean token of each skip layer, video and audio (B, C), with all tokens visible: for retrieval."""
        config = self.config
        video = self.encoder_video(video_BCTHW, None, required_layers(config, config.video))
        return self._pool_levels(video, self.encoder_audio(audio_B1MF, None, required_layers(config, config.audio)))

    def _fuse(self, video: EncoderOutputs | None, audio: EncoderOutputs | None) -> tuple[Tensor | None, Tensor | None]:
        if video is None or audio is None:
            return video and video.layers[-1], audio and audio.layers[-1]
        v, a = video.layers[-1], audio.layers[-1]
        if isinstance(self.fusion, FusionEncoder):
            return self.fusion(v, a)
        if video.regions is not None and audio.regions is not None:
            context_BOE = torch.cat((video.regions, audio.regions), -1)
        else:
            context_BOE = torch.cat((v.mean(1, keepdim=True), a.mean(1, keepdim=True)), -1)
        return self.fusion(v, a, context_BOE)

    def _decode(
        self, name: str, encoded: EncoderOutputs | None, fused: Tensor | None, position_BV: Tensor, target_BM: Tensor
    ) -> Tensor | None:
        if encoded is None or fused is None:
            return None
        decoder = self.decoder_video if name == "video" else self.decoder_audio
        skips = encoded.layers[: len(self.config.skips)]
        if self.fp32_decoder:
            fused, skips = at_least_fp32(fused), [at_least_fp32(skip) for skip in skips]
        return decoder(fused, skips, position_BV, target_BM)

    def _pool_levels(
        self, video: EncoderOutputs | None, audio: EncoderOutputs | None
    ) -> tuple[tuple[Tensor, Tensor], ...]:
        if video is None or audio is None:
            return ()
        skips = slice(len(self.config.skips))
        pairs = zip(video.layers[skips], audio.layers[skips], strict=True)
        return tuple((at_least_fp32(v).mean(1), at_least_fp32(a).mean(1)) for v, a in pairs)


def required_layers(config: ModelConfig, modality: ModalityConfig) -> tuple[int, ...]:
    """Return the encoder layers that pre-training reads: those of the skip connections, and the last."""
    return tuple(sorted({*config.skips, modality.depth - 1}))


def build_fusion(config: ModelConfig, drop: float = 0.0) -> FusionEncoder | IAVCL:
    """Return the fusion that `config` names. drop: the highest rate of stochastic depth."""
    return FusionEncoder(config, drop) if config.fusion == "cross" else IAVCL(config, drop)
