"""Speech encoders of torchaudio in the sizes that both systems use: PDEM's wav2vec 2.0, wav2vec 2.0 and HuBERT base.

Shapes: B waves, N samples at 16 kHz, H hidden states (one each 20 ms, of 25 ms), C width.
"""

from dataclasses import dataclass
from typing import Literal

from avf_shards.timeline import SAMPLE_RATE_HZ
from torch import Tensor, nn
from torchaudio.models import Wav2Vec2Model, wav2vec2_model

from avf_training.framewise.models.speech_heads import SequencePart, SpeechHead, SpeechOutput, SpeechTask

assert SAMPLE_RATE_HZ == 16_000
CONVOLUTIONS = ((512, 10, 5), *4 * ((512, 3, 2),), *2 * ((512, 2, 2),))
"""(channels, kernel, stride) of the layers that turn samples into hidden states."""
NORMALIZATION_EPS = 1e-7


@dataclass(frozen=True, kw_only=True)
class SpeechEncoderConfig:
    """Sizes of an encoder."""

    stable_norm: bool  # norms before each part, and in every convolution, which then has a bias; else after each part
    width: int  # C
    layers: int
    heads: int
    ffn_width: int  # hidden width of the feed-forward network
    convolutions: tuple[tuple[int, int, int], ...] = CONVOLUTIONS
    position_kernel: int = 128  # hidden states that the convolution of positions sees
    position_groups: int = 16
    dropout: float = 0.1  # of every kind
    layer_dropout: float = 0.1  # share of layers that a training step skips


BASE = SpeechEncoderConfig(stable_norm=False, width=768, layers=12, heads=12, ffn_width=3072)
"""wav2vec 2.0 base and HuBERT base."""
PDEM = SpeechEncoderConfig(stable_norm=True, width=1024, layers=12, heads=16, ffn_width=4096)
"""The first 12 layers of wav2vec 2.0 large robust, fine-tuned on emotion by audEERING."""
TRAINABLE_LAYERS = {"V1": 2, "V2": 2, "V3": 4}
"""Last layers of the encoder that SUN's acoustic models train."""


def build_speech_encoder(config: SpeechEncoderConfig) -> Wav2Vec2Model:
    """Return an encoder with random weights."""
    return wav2vec2_model(
        extractor_mode="layer_norm" if config.stable_norm else "group_norm",
        extractor_conv_layer_config=list(config.convolutions),
        extractor_conv_bias=config.stable_norm,
        encoder_embed_dim=config.width,
        encoder_projection_dropout=config.dropout,
        encoder_pos_conv_kernel=config.position_kernel,
        encoder_pos_conv_groups=config.position_groups,
        encoder_num_layers=config.layers,
        encoder_num_heads=config.heads,
        encoder_attention_dropout=config.dropout,
        encoder_ff_interm_features=config.ffn_width,
        encoder_ff_interm_dropout=config.dropout,
        encoder_dropout=config.dropout,
        encoder_layer_norm_first=config.stable_norm,
        encoder_layer_drop=config.layer_dropout,
        aux_num_out=None,
    )


def normalize_wave(wave_N: Tensor) -> Tensor:
    """Return a wave of mean 0 and variance 1 over its samples, as the encoders' processor does; silence stays 0."""
    centred = wave_N - wave_N.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + NORMALIZATION_EPS).sqrt()


def hidden_state_count(samples: int, config: SpeechEncoderConfig = BASE) -> int:
    """Return the hidden states of so many samples: 1 of 400, 49 of a second, 199 of 4 s; 0 of less than 400."""
    for _, kernel, stride in config.convolutions:
        samples = max(0, (samples - kernel) // stride + 1)
    return samples


class SpeechModel(nn.Module):
    """An encoder and a head on its last hidden state."""

    def __init__(self, encoder: Wav2Vec2Model, head: SpeechHead) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, wave_BN: Tensor) -> SpeechOutput:
        """Return predictions of 4 s of normalized sound."""
        states_BHC, _ = self.encoder(wave_BN)
        output: SpeechOutput = self.head(states_BHC)
        return output

    def train_last_layers(self, count: int) -> None:
        """Freeze the encoder but its last `count` layers; the head is trained."""
        layers = self.encoder.encoder.transformer.layers
        self.encoder.requires_grad_(False)
        for layer in list(layers)[len(layers) - count :]:
            layer.requires_grad_()
        self.head.requires_grad_()


def speech_model(version: Literal["V1", "V2", "V3"], task: SpeechTask = "va") -> SpeechModel:
    """Return one of SUN's acoustic models at full size, with random weights and the authors' layers to train."""
    sequence: SequencePart = "recurrent" if version == "V1" else "attention"
    model = SpeechModel(build_speech_encoder(PDEM), SpeechHead(task, sequence, width=PDEM.width))
    model.train_last_layers(TRAINABLE_LAYERS[version])
    return model


def hidden_states(encoder: Wav2Vec2Model, wave_BN: Tensor, samples_B: Tensor | None = None) -> list[Tensor]:
    """Return the output of each layer, (B, H, C), without the last norm of encoders with stable norms.

    `samples_B`: of each wave, where a batch is padded with zeros.
    """
    states: list[Tensor] = encoder.extract_features(wave_BN, samples_B)[0]
    return states
