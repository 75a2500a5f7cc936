"""Encoders of sound beside those of the authors: wav2vec 2.0, and SUN's heads on PDEM."""

import json
import re
import zlib
from functools import partial

import numpy as np
import torch
from torch import Tensor

from avf_training.conversion.parity import ParityRow
from avf_training.framewise.models.checkpoint_names import names_in_checkpoint
from avf_training.framewise.models.huggingface_weights import load_dimension_head, load_huggingface
from avf_training.framewise.models.speech_encoder import (
    CONVOLUTIONS,
    SpeechEncoderConfig,
    SpeechModel,
    build_speech_encoder,
    hidden_states,
    normalize_wave,
)
from avf_training.framewise.models.speech_heads import DimensionHead, SequencePart, SpeechHead, SpeechTask
from avf_training.framewise.parity.model_files import (
    DOUBLE,
    compare_both_precisions,
    load_filled,
    load_stored,
    stored_tensor,
)
from avf_training.framewise.parity.rows import OracleNumbers, compare_equal, compare_pairs

ROUNDED = 2e-6  # of numbers of a few units that a file holds in float32
PADDED_SAMPLES = (3200, 2000)  # of both waves, in the run with a mask


def _small_config(*, stable_norm: bool, layers: int) -> SpeechEncoderConfig:
    """Return the sizes of the files' small encoders."""
    return SpeechEncoderConfig(
        stable_norm=stable_norm,
        width=16,
        layers=layers,
        heads=4,
        ffn_width=24,
        convolutions=tuple((8, kernel, stride) for _, kernel, stride in CONVOLUTIONS),
        position_kernel=16,
        position_groups=4,
    )


def compare_speech_encoders(file: str, oracle: OracleNumbers) -> list[ParityRow]:
    """Return every hidden state of small encoders, the published head of PDEM, and the processor's normalization."""
    rows = compare_both_precisions(file, oracle, partial(_encoder_outputs, oracle))
    wave = normalize_wave(stored_tensor(oracle, "norm.in")).numpy()
    return [*rows, compare_pairs(file, "normalization", [("norm.out", wave, oracle["norm.out"])], ROUNDED, "float32")]


def _encoder_outputs(oracle: OracleNumbers, dtype: torch.dtype) -> dict[str, Tensor]:
    wave_BN = stored_tensor(oracle, "in.wave", dtype)
    numbers: dict[str, Tensor] = {}
    for kind in ("w2v_stable", "w2v_base"):
        start = f"{kind}.w."
        encoder = build_speech_encoder(_small_config(stable_norm=kind == "w2v_stable", layers=3))
        theirs = {name[len(start) :]: stored_tensor(oracle, name) for name in oracle if name.startswith(start)}
        load_huggingface(encoder, theirs, start).to(dtype).eval()
        inputs: list[Tensor] = []
        first_layer = encoder.encoder.transformer.layers[0]
        hook = first_layer.register_forward_pre_hook(lambda _, given, inputs=inputs: inputs.append(given[0]))
        numbers |= {f"{kind}.hidden_{n}": state for n, state in enumerate(hidden_states(encoder, wave_BN), 1)}
        hook.remove()
        numbers[f"{kind}.hidden_0"] = inputs[0]
        numbers[f"{kind}.last_hidden_state"] = encoder(wave_BN)[0]
        numbers[f"{kind}.conv_features"] = encoder.feature_extractor(wave_BN, None)[0].transpose(1, 2)
        if f"{kind}.masked.last_hidden_state" in oracle:
            padded_BN = wave_BN.clone()
            padded_BN[1, PADDED_SAMPLES[1] :] = 0
            numbers[f"{kind}.masked.last_hidden_state"] = encoder(padded_BN, torch.tensor(PADDED_SAMPLES))[0]
    head = DimensionHead(width=16)
    start = "pdem.classifier."
    theirs = {name[len("pdem.") :]: stored_tensor(oracle, name) for name in oracle if name.startswith(start)}
    load_dimension_head(head, theirs, start).to(dtype).eval()
    numbers["pdem.pooled"] = stored_tensor(oracle, "w2v_stable.last_hidden_state", dtype).mean(1)
    numbers["pdem.logits"] = head(stored_tensor(oracle, "w2v_stable.last_hidden_state", dtype))
    return numbers


_HEADS: tuple[tuple[str, SpeechTask, SequencePart], ...] = (
    ("VA.V1", "va", "recurrent"),
    ("VA.V2", "va", "attention"),
    ("VA.V3", "va", "attention"),
    ("EXPR.V1", "expr", "recurrent"),
    ("EXPR.V2", "expr", "attention"),
    ("VAE.V1", "both", "recurrent"),
    ("VAE.V2", "both", "attention"),
)


def compare_speech_heads(file: str, oracle: OracleNumbers) -> list[ParityRow]:
    """Return outputs of whole small models, of two heads alone, and the parts that the authors train."""
    rows = compare_both_precisions(
        file,
        oracle,
        partial(_speech_outputs, oracle),
        lambda name: "encoder, stored in float32" if name.startswith("frame") else "outputs",
        lambda group: ROUNDED if "float32" in group else DOUBLE,
    )
    settings = json.loads(str(oracle["meta.config"]))
    trainable = []
    for tag, task, sequence in _HEADS:
        model = _small_model(task, sequence)
        model.train_last_layers(4 if tag.endswith("V3") else 2)
        names = names_in_checkpoint(model)
        opened = {names[ours] for ours, value in model.named_parameters() if value.requires_grad}
        parts = sorted({re.sub(r"^(wav2vec2\.encoder\.layers\.\d+|\w+)\..*", r"\1", name) for name in opened})
        trainable.append((tag, parts, settings[tag]["trainable"]))
    return [*rows, compare_equal(file, "trained parts", trainable)]


def _small_model(task: SpeechTask, sequence: SequencePart) -> SpeechModel:
    encoder = build_speech_encoder(_small_config(stable_norm=True, layers=5))
    return SpeechModel(encoder, _small_head(task, sequence))


def _small_head(task: SpeechTask, sequence: SequencePart) -> SpeechHead:
    return SpeechHead(task, sequence, width=16, recurrent_width=8, heads=(4, 2))


def _speech_outputs(oracle: OracleNumbers, dtype: torch.dtype) -> dict[str, Tensor]:
    random = np.random.RandomState(zlib.crc32(b"pdem"))
    wave_BN = torch.from_numpy((0.1 * random.standard_normal((2, 64_000))).astype(np.float32)).to(dtype)
    numbers: dict[str, Tensor] = {}
    with torch.no_grad():
        for tag, task, sequence in _HEADS:
            model = _small_model(task, sequence)
            load_filled(model, f"{tag}.", dtype)
            out = model(wave_BN)
            results = [each for each in out[:2] if each is not None]
            numbers |= {f"{tag}.out{number}": each for number, each in enumerate(results)}
            if tag == "VA.V1":
                numbers["frame_states_VA.V1"] = model.encoder(wave_BN)[0]
            if tag == "VA.V3" and out.features_BSF is not None:
                numbers["VA.V3.features"] = out.features_BSF
            if f"{tag}.head.in" in oracle:
                head = _small_head(task, sequence)
                load_stored(head, oracle, f"{tag}.w.", dtype)
                alone = head(stored_tensor(oracle, f"{tag}.head.in", dtype))
                assert alone.valence_arousal_BS2 is not None
                assert alone.features_BSF is not None
                numbers[f"{tag}.head.out"] = alone.valence_arousal_BS2
                numbers[f"{tag}.head.features"] = alone.features_BSF
    return numbers
