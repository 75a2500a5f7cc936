"""Extractors that listen: wav2vec 2.0 and HuBERT, SUN's acoustic models on PDEM, and VGGish.

Shapes: S samples at 16 kHz, H hidden states, N frames, R rows, D values.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from avf_shards.errors import UserError
from torch import Tensor
from torchaudio.models import Wav2Vec2Model

from avf_training.framewise.models.checkpoint_names import load_authors_tensors
from avf_training.framewise.models.huggingface_weights import load_huggingface, read_tensors
from avf_training.framewise.models.speech_encoder import (
    BASE,
    PDEM,
    SpeechEncoderConfig,
    SpeechModel,
    build_speech_encoder,
    hidden_state_count,
    hidden_states,
    normalize_wave,
)
from avf_training.framewise.models.speech_heads import STEPS, SequencePart, SpeechHead
from avf_training.framewise.models.vggish import VGGish, Whitening
from avf_training.framewise.models.vggish_input import log_mel_examples
from avf_training.framewise.sampling.audio_rows import (
    HUBERT_FIELD,
    HUBERT_HOP,
    SAMPLE_RATE_HZ,
    hubert_rows_of_frames,
    vggish_rows_of_frames,
)
from avf_training.framewise.tracks.extractor import FrameVectors, digest_weights, every_frame, read_sizes
from avf_training.framewise.tracks.footage import Footage
from avf_training.framewise.tracks.identity import ExtractorIdentity
from avf_training.models.pretrained import load_strict

CHUNK_SAMPLES = 2_500_000  # 156.25 s; NetEase's code cuts waves so
WINDOW_SAMPLES, WINDOW_HOP_SAMPLES = 4 * SAMPLE_RATE_HZ, 2 * SAMPLE_RATE_HZ  # of the acoustic models
_STEP_S = WINDOW_SAMPLES / SAMPLE_RATE_HZ / STEPS
_CONVOLUTIONS, _LINEAR = (0, 3, 6, 8, 11, 13), (0, 2, 4)  # numbers of VGGish's layers that have weights
_PCA = ("pca_eigen_vectors", "pca_means")


class SpeechExtractor:
    """The last layer of an encoder: for each frame the mean of the hidden states in it."""

    picture_input = None

    def __init__(self, encoder: Wav2Vec2Model, identity: ExtractorIdentity, device: torch.device) -> None:
        self.identity = identity
        self._encoder, self._device = encoder.to(device).eval(), device

    @torch.no_grad()
    def extract(self, footage: Footage) -> FrameVectors:
        """Return a vector for each frame; zeros for sound shorter than a hidden state."""
        wave_S = torch.from_numpy(footage.wave()).to(self._device)
        states: list[Tensor] = []
        for number, chunk_S in enumerate(wave_S.split(CHUNK_SAMPLES), 1):
            if hidden_state_count(len(chunk_S)):
                states.append(hidden_states(self._encoder, chunk_S[None])[-1][0].float().cpu())
            # A chunk ends half a state late; states repeated at its end keep those behind it on the clock of the wave.
            missing = number * CHUNK_SAMPLES // HUBERT_HOP - sum(map(len, states))
            if number * CHUNK_SAMPLES < len(wave_S) and states:
                states.append(states[-1][-1:].expand(missing, -1))
        width = int(self._encoder.encoder.feature_projection.projection.out_features)
        states_HD = torch.cat(states) if states else torch.zeros(0, width)
        return every_frame(hubert_rows_of_frames(states_HD.double().numpy(), footage.frames, footage.fps))


class AcousticExtractor:
    """SUN's features at five steps a second. Windows of 4 s start every 2 s, and steps of two windows are averaged."""

    picture_input = None

    def __init__(self, model: SpeechModel, identity: ExtractorIdentity, device: torch.device) -> None:
        self.identity = identity
        self._model, self._device = model.to(device).eval(), device

    @torch.no_grad()
    def extract(self, footage: Footage) -> FrameVectors:
        """Return a vector for every fifth of a second."""
        wave_S = torch.from_numpy(footage.wave()).to(self._device)
        steps = max(1, math.ceil(footage.frames / footage.fps / _STEP_S - 1e-6))
        sums_RD, counts_R = None, torch.zeros(steps, 1)
        for start in range(0, max(1, len(wave_S) - WINDOW_HOP_SAMPLES), WINDOW_HOP_SAMPLES):
            window_S = wave_S[start : start + WINDOW_SAMPLES]
            padded_S = F.pad(window_S, (0, WINDOW_SAMPLES - len(window_S)))  # zeros behind the end, as the authors do
            features_SD = self._model(normalize_wave(padded_S)[None]).features_BSF[0].float().cpu()
            first = start * STEPS // WINDOW_SAMPLES
            stop = min(steps, first + STEPS)
            sums_RD = torch.zeros(steps, features_SD.shape[1]) if sums_RD is None else sums_RD
            sums_RD[first:stop] += features_SD[: stop - first]
            counts_R[first:stop] += 1
        assert sums_RD is not None
        rows_R = np.floor(np.arange(steps) * _STEP_S * footage.fps + 1e-6).astype(np.int64)
        return FrameVectors(rows_R=rows_R, vectors_RD=(sums_RD / counts_R).numpy())


class VGGishExtractor:
    """VGGish of the 0.96 s that a frame lies in; whitened where the weights hold the principal components."""

    picture_input = None

    def __init__(
        self, model: VGGish, whitening: Whitening | None, identity: ExtractorIdentity, device: torch.device
    ) -> None:
        self.identity = identity
        self._model, self._device = model.to(device).eval(), device
        self._width = len(model.state_dict()[f"embeddings.{_LINEAR[-1]}.bias"])  # D
        self._whitening = None if whitening is None else whitening.to(device)

    @torch.no_grad()
    def extract(self, footage: Footage) -> FrameVectors:
        """Return a vector for each frame; zeros for sound shorter than 0.975 s."""
        examples_EFM = torch.from_numpy(log_mel_examples(footage.wave().astype(np.float64))).float()
        rows_ED = torch.zeros(0, self._width)
        if len(examples_EFM):
            rows_ED = self._model(examples_EFM.to(self._device))
            rows_ED = (rows_ED if self._whitening is None else self._whitening(rows_ED, "0..1")).float().cpu()
        return every_frame(vggish_rows_of_frames(rows_ED.double().numpy(), footage.frames, footage.fps))


def load_speech_encoder(name: str, weights: Path, device: torch.device) -> SpeechExtractor:
    """Return wav2vec 2.0 or HuBERT; base sizes, or those of config.json in a folder. Raises UserError."""
    encoder = load_huggingface(
        build_speech_encoder(read_speech_config(weights, BASE)), read_tensors(weights), str(weights)
    )
    settings: dict[str, str | int] = {"layer": "last", "chunk_samples": CHUNK_SAMPLES, "normalized": False}
    return SpeechExtractor(encoder, ExtractorIdentity.from_settings(name, settings, digest_weights(weights)), device)


def load_acoustic_model(name: str, weights: Path, device: torch.device) -> AcousticExtractor:
    """Return one of SUN's models, in the authors' names. Raises UserError."""
    config = read_speech_config(weights, PDEM)
    sequence: SequencePart = "recurrent" if name == "pdem_v1" else "attention"
    model = SpeechModel(build_speech_encoder(config), SpeechHead("va", sequence, width=config.width))
    load_authors_tensors(model, read_tensors(weights), str(weights))
    settings = {"window_samples": WINDOW_SAMPLES, "hop_samples": WINDOW_HOP_SAMPLES, "normalized": True}
    return AcousticExtractor(model, ExtractorIdentity.from_settings(name, settings, digest_weights(weights)), device)


def load_vggish(name: str, weights: Path, device: torch.device) -> VGGishExtractor:
    """Return VGGish with the sizes of its tensors; `pca_*` in the file whiten its values. Raises UserError."""
    tensors = {key.removeprefix("pproc."): value for key, value in read_tensors(weights).items()}
    convolutions, linear = (
        _widths(tensors, "features", _CONVOLUTIONS, weights),
        _widths(tensors, "embeddings", _LINEAR, weights),
    )
    whitening = Whitening(linear[-1]) if _PCA[0] in tensors else None
    if whitening is not None:
        load_strict(whitening, {key: tensors.pop(key) for key in _PCA if key in tensors}, str(weights))
    model = VGGish(convolutions, linear)
    load_strict(model, tensors, str(weights))
    identity = ExtractorIdentity.from_settings(name, {"whitened": whitening is not None}, digest_weights(weights))
    return VGGishExtractor(model, whitening, identity, device)


def _widths(tensors: Mapping[str, Tensor], part: str, layers: tuple[int, ...], weights: Path) -> tuple[int, ...]:
    names = [f"{part}.{number}.weight" for number in layers]
    missing = [name for name in names if name not in tensors]
    if missing:
        raise UserError(
            f"{weights}: has no {missing[0]}, as VGGish has; its tensors begin {', '.join(sorted(tensors)[:4])}"
        )
    return tuple(len(tensors[name]) for name in names)


def read_speech_config(weights: Path, default: SpeechEncoderConfig) -> SpeechEncoderConfig:
    """Return the sizes in config.json as Hugging Face writes it; `default` where there is none."""
    fields = read_sizes(weights)
    if fields is None:
        return default
    layers = [
        _whole_numbers(fields.values.get(key), key, weights) for key in ("conv_dim", "conv_kernel", "conv_stride")
    ]
    config = SpeechEncoderConfig(
        stable_norm=bool(fields.values.get("do_stable_layer_norm")),
        width=fields.integer("hidden_size"),
        layers=fields.integer("num_hidden_layers"),
        heads=fields.integer("num_attention_heads"),
        ffn_width=fields.integer("intermediate_size"),
        convolutions=tuple(zip(*layers, strict=False)),
        position_kernel=fields.integer("num_conv_pos_embeddings"),
        position_groups=fields.integer("num_conv_pos_embedding_groups"),
    )
    strides = math.prod(config.convolutions[number][2] for number in range(len(config.convolutions)))
    clock = [hidden_state_count(samples, config) for samples in (HUBERT_FIELD - 1, HUBERT_FIELD)]
    if strides != HUBERT_HOP or clock != [0, 1]:
        raise UserError(
            f"{weights}: config.json: conv_kernel and conv_stride must give a state for {HUBERT_FIELD} samples every "
            f"{HUBERT_HOP}; other clocks are not known here"
        )
    return config


def _whole_numbers(value: object, key: str, weights: Path) -> list[int]:
    if isinstance(value, list) and value and all(type(each) is int and each > 0 for each in value):
        return value
    raise UserError(f"{weights}: config.json: {key} must be a list of whole numbers above 0")
