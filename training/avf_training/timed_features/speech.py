"""A speech encoder with the calls and outputs of wav2vec 2.0 in `transformers`, for code that makes heads talk.

Such code asks for `last_hidden_state` (StableAvatar) or stacks `hidden_states[1:]` (Hallo). Nothing here imports
transformers. B rows of a batch, S samples, T tokens, C width, L layers.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from avf_shards.errors import UserError
from avf_shards.timeline import SAMPLE_RATE_HZ
from torch import Tensor, nn

from avf_training.models.encoder import Encoder
from avf_training.timed_features.audio_frames import hear, load_audio_encoder, read_wave
from avf_training.timed_features.windows import Ints, TokenContext, check_context

TOKEN_STEP, TOKEN_REACH = 320, 400  # samples, of wav2vec 2.0: 50 tokens a second, each of 25 ms


def count_tokens(samples: int) -> int:
    """Return the number of tokens that wav2vec 2.0 makes of so many samples."""
    return max(0, (samples - TOKEN_REACH) // TOKEN_STEP + 1)


def token_centres(samples: int, tokens: int | None = None) -> Ints:
    """Return the samples on which tokens are centred, (T,).

    Token i of wav2vec 2.0 is centred on sample 320 i + 200. Another number of tokens is spread evenly from the first of
    these centres to the last one, where linear interpolation with `align_corners` looks too.

    Args:
        samples: of the sound.
        tokens: how many are asked for; None: as many as wav2vec 2.0 makes.
    """
    last = TOKEN_STEP * (count_tokens(samples) - 1)
    if tokens is None:
        tokens = count_tokens(samples)
    spread = np.linspace(0.0, last, tokens, dtype=np.float64)
    return np.floor(TOKEN_REACH // 2 + spread + 0.5).astype(np.int64)


class SpeechStates(NamedTuple):
    """What wav2vec 2.0 returns, by name and by position."""

    last_hidden_state: Tensor  # (B, T, C)
    hidden_states: tuple[Tensor, ...] | None = (
        None  # L + 1 times (B, T, C): what the first layer reads, then each layer
    )
    attentions: None = None


@dataclass(frozen=True, kw_only=True)
class SpeechConfig:
    """The sizes for which such code asks."""

    hidden_size: int  # width of the tokens
    num_hidden_layers: int  # of the encoder


class SpeechFrontEnd(nn.Module):
    """The embedding of an encoder, under the name of wav2vec 2.0's convolutions."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.embed = encoder.embed

    def _freeze_parameters(self) -> None:
        """Stop training the embedding; Hallo calls this name."""
        self.requires_grad_(False)


class SpeechEncoder(nn.Module):
    """The audio encoder of a saved model in the place of `Wav2Vec2Model`.

    Each token is centred on the sample on which that of wav2vec 2.0 is. The sound must have its own level: use
    `SpeechProcessor`, because that of wav2vec 2.0 scales to unit variance.
    """

    def __init__(self, encoder: Encoder, *, width: int | None = None, context: TokenContext = "lattice") -> None:
        """Keep the encoder.

        Args:
            encoder: the audio encoder of a model.
            width: of the tokens, as 768 where such code has it fixed; a linear map, to be trained with that code, makes
                it where the encoder has another. None: the encoder's own.
            context: see `AudioFrames`.
        """
        super().__init__()
        check_context(context)
        own = encoder.norm.normalized_shape[0] if isinstance(encoder.norm, nn.LayerNorm) else 0
        if width is not None and width < 1:
            raise UserError(f"width {width}: must be at least 1; 768 is that of wav2vec 2.0")
        self.encoder, self.context = encoder, context
        self.feature_extractor = SpeechFrontEnd(encoder)
        self.project = nn.Identity() if width in (None, own) else nn.Linear(own, width or own)
        self.config = SpeechConfig(hidden_size=width or own, num_hidden_layers=len(encoder.blocks))

    @classmethod
    def from_pretrained(
        cls, model: Path | str, *, width: int | None = None, context: TokenContext = "lattice", **unused: Any
    ) -> Self:
        """Return the encoder of a saved model or run, in eval mode.

        Options of transformers, as `local_files_only`, are taken and mean nothing. Raises UserError as `AudioFrames`.
        """
        return cls(load_audio_encoder(model), width=width, context=context).eval()

    @property
    def device(self) -> torch.device:
        return next(self.encoder.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.encoder.parameters()).dtype

    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        seq_len: int | None = None,
        output_hidden_states: bool | None = None,
        **unused: Any,
    ) -> SpeechStates:
        """Return the tokens of sound. Raises UserError for sound shorter than 400 samples, or scaled to unit variance.

        Args:
            input_values: (B, S), from `SpeechProcessor`.
            attention_mask: is not used, as by wav2vec 2.0 base: rows are heard up to their end.
            seq_len: number of tokens, as Hallo asks for one for each frame; None: as many as wav2vec 2.0 makes.
            output_hidden_states: return every layer, too.
        """
        if input_values.ndim != 2 or not len(input_values):
            raise UserError(f"sound of shape {tuple(input_values.shape)}: a batch has the shape (rows, samples)")
        if seq_len is not None and seq_len < 1:
            raise UserError(f"seq_len {seq_len}: must be at least 1")
        depth = self.config.num_hidden_layers
        layers = tuple(range(depth + 1)) if output_hidden_states else (depth,)
        rows = []
        for row_S in input_values:
            wave_S = read_wave(row_S, SAMPLE_RATE_HZ, shortest=TOKEN_REACH)
            centres_T = token_centres(len(wave_S), seq_len)
            rows.append(hear(self.encoder, wave_S, centres_T, layers=layers, context=self.context, bands="mean"))
        states = tuple(self.project(torch.stack(rows)).unbind(2))
        return SpeechStates(states[-1], states if output_hidden_states else None)


class SpeechInputs(dict[str, Any]):
    """What a processor returns, by key and by attribute."""

    @property
    def input_values(self) -> Any:
        return self["input_values"]


class SpeechProcessor:
    """Gives sound to `SpeechEncoder` at its own level, where the processors of wav2vec 2.0 make unit variance."""

    sampling_rate = SAMPLE_RATE_HZ

    @classmethod
    def from_pretrained(cls, model: Path | str = "", **unused: Any) -> Self:
        """Return a processor; there is nothing to load."""
        return cls()

    def __call__(
        self,
        raw_speech: npt.NDArray[np.generic] | Tensor,
        sampling_rate: int | None = None,
        return_tensors: str | None = None,
        **unused: Any,
    ) -> SpeechInputs:
        """Return `input_values`, (1, S): a tensor (`pt`), an array (`np`), or a list of one array.

        Raises UserError for sound of another rate than 16 kHz, of several channels, or that reaches far over 1.

        Args:
            raw_speech: (S,), floats in -1..1 or int16.
            sampling_rate: of the sound.
            return_tensors: `pt`, `np` or None.
        """
        rate_hz = SAMPLE_RATE_HZ if sampling_rate is None else sampling_rate
        wave_S = read_wave(raw_speech, rate_hz, shortest=TOKEN_REACH)
        if return_tensors == "pt":
            return SpeechInputs(input_values=wave_S[None])
        if return_tensors == "np":
            return SpeechInputs(input_values=wave_S[None].numpy())
        if return_tensors is None:
            return SpeechInputs(input_values=[wave_S.numpy()])
        raise UserError(f"return_tensors {return_tensors!r}: there are 'pt' and 'np', or none")
