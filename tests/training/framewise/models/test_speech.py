"""Speech encoders and heads: sizes, what is trained, weights in Hugging Face's names, normalization."""

from pathlib import Path
from typing import Literal

import pytest
import torch
from avf_shards.errors import UserError
from avf_training.framewise.models.huggingface_weights import (
    load_dimension_head,
    load_huggingface,
    read_tensors,
    torchaudio_names,
)
from avf_training.framewise.models.speech_encoder import (
    BASE,
    PDEM,
    SpeechModel,
    build_speech_encoder,
    hidden_state_count,
    hidden_states,
    normalize_wave,
    speech_model,
)
from avf_training.framewise.models.speech_heads import DimensionHead, SequencePart, SpeechHead, SpeechTask
from safetensors.torch import save_file
from support.tiny_extractors import SMALL_SPEECH
from torch import Tensor, nn

MASKED_SPEC_EMBED = 1024  # of Hugging Face's encoder, which torchaudio's does not have
UNUSED = 4 * 1024  # parameters of both layers of attention that the authors' code never uses


def count(model: nn.Module, *, trained: bool = False) -> int:
    return sum(each.numel() for each in model.parameters() if each.requires_grad or not trained)


def huggingface_tensors(prefix: str = "wav2vec2.", *, old: bool = False) -> dict[str, Tensor]:
    """Return a small encoder's weights as Hugging Face names them, with what else its files hold."""
    torch.manual_seed(1)
    tensors = {}
    for name, value in build_speech_encoder(SMALL_SPEECH).state_dict().items():
        name = name.replace("encoder.feature_projection.", "feature_projection.")
        name = name.replace("encoder.transformer.", "encoder.")
        if old:
            name = name.replace("parametrizations.weight.original0", "weight_g")
            name = name.replace("parametrizations.weight.original1", "weight_v")
        tensors[prefix + name] = value
    return tensors | {f"{prefix}masked_spec_embed": torch.zeros(16), "lm_head.bias": torch.zeros(3)}


def test_encoders_have_the_published_sizes() -> None:
    with torch.device("meta"):
        assert count(build_speech_encoder(BASE)) == 94_371_712 - 768
        assert count(build_speech_encoder(PDEM)) == 164_284_032 - MASKED_SPEC_EMBED
        assert count(DimensionHead()) == 1_052_675


@pytest.mark.parametrize(
    ("version", "task", "total", "trained", "head"),
    [
        ("V1", "va", 165_992_322, 26_900_738, 1_708_290),
        ("V2", "va", 182_131_330, 43_039_746, 17_847_298),
        ("V3", "va", 182_131_330, 68_232_194, 17_847_298),
        ("V1", "expr", 166_191_240, 27_099_656, 1_907_208),
        ("V3", "expr", 185_286_280, 71_387_144, 21_002_248),
        ("V1", "both", 166_322_826, 27_231_242, 2_038_794),
        ("V3", "both", 187_385_482, 73_486_346, 23_101_450),
    ],
)
def test_acoustic_models_have_the_authors_sizes(
    version: Literal["V1", "V2", "V3"], task: SpeechTask, total: int, trained: int, head: int
) -> None:
    with torch.device("meta"):
        model = speech_model(version, task)
    unused = 0 if version == "V1" else UNUSED
    assert count(model) == total - unused - MASKED_SPEC_EMBED
    assert count(model, trained=True) == trained - unused
    assert count(model.head) == head - unused


@pytest.mark.parametrize("sequence", ["recurrent", "attention"])
def test_four_seconds_have_twenty_steps_and_four_windows(sequence: SequencePart) -> None:
    states = torch.randn(2, 199, 16, generator=torch.Generator().manual_seed(2))
    shapes: dict[SpeechTask, list[tuple[int, ...] | None]] = {}
    for task in ("va", "expr", "both"):
        head = SpeechHead(task, sequence, width=16, recurrent_width=8, heads=(4, 2)).eval()
        out = head(states)
        shapes[task] = [None if each is None else tuple(each.shape) for each in out[:2]]
        if out.features_BSF is not None:
            assert out.features_BSF.shape == (2, 20, 8 if sequence == "recurrent" else 16)
            assert bool((out.features_BSF >= 0).all())
    assert shapes == {"va": [(2, 20, 2), None], "expr": [None, (2, 4, 8)], "both": [(2, 20, 2), (2, 4, 8)]}


def test_only_the_last_layers_and_the_head_learn() -> None:
    model = SpeechModel(build_speech_encoder(SMALL_SPEECH), SpeechHead("va", "recurrent", width=16, recurrent_width=8))
    model.train_last_layers(2)
    opened = {name.split("layers.")[-1].split(".")[0] for name, value in model.encoder.named_parameters()
              if value.requires_grad}  # fmt: skip
    assert opened == {"1", "2"}
    model.train_last_layers(0)
    assert not any(value.requires_grad for value in model.encoder.parameters())
    assert all(value.requires_grad for value in model.head.parameters())


@pytest.mark.parametrize(("samples", "states"), [(0, 0), (399, 0), (400, 1), (16_000, 49), (32_000, 99), (64_000, 199)])
def test_a_second_has_49_states(samples: int, states: int) -> None:
    assert hidden_state_count(samples) == states


def test_a_padded_wave_is_answered_as_alone() -> None:
    torch.manual_seed(3)
    encoder = build_speech_encoder(SMALL_SPEECH).double().eval()
    waves = torch.randn(2, 800, dtype=torch.float64)
    waves[1, 500:] = 0
    together = hidden_states(encoder, waves, torch.tensor([800, 500]))
    states = hidden_state_count(500, SMALL_SPEECH)
    for ours, alone in zip(together, hidden_states(encoder, waves[1:, :500]), strict=True):
        torch.testing.assert_close(ours[1, :states], alone[0], rtol=0, atol=1e-12)


def test_waves_are_normalized_by_their_own_moments_and_silence_stays() -> None:
    wave = 3 + 0.5 * torch.randn(2, 4000, generator=torch.Generator().manual_seed(1))
    normal = normalize_wave(wave)
    torch.testing.assert_close(normal.mean(-1), torch.zeros(2), rtol=0, atol=1e-5)
    torch.testing.assert_close(normal.var(-1, correction=0), torch.ones(2), rtol=1e-4, atol=0)
    assert not normalize_wave(torch.zeros(1, 400)).any()


@pytest.mark.parametrize("prefix", ["", "wav2vec2.", "hubert."])
@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_files_of_hugging_face_load_without_its_packages(tmp_path: Path, prefix: str, old: bool, file: str) -> None:
    theirs = huggingface_tensors(prefix, old=old)
    if file.endswith("bin"):
        torch.save(theirs, tmp_path / file)
    else:
        save_file(theirs, tmp_path / file)
    encoder = build_speech_encoder(SMALL_SPEECH).eval()
    load_huggingface(encoder, read_tensors(tmp_path), str(tmp_path))
    torch.manual_seed(1)
    same = build_speech_encoder(SMALL_SPEECH).eval()
    wave = torch.randn(1, 400, generator=torch.Generator().manual_seed(2))
    assert torch.equal(encoder(wave)[0], same(wave)[0])


def test_what_pre_training_alone_needs_is_left_out() -> None:
    names = torchaudio_names(["hubert.masked_spec_embed", "classifier.dense.weight", "encoder.layer_norm.bias"])
    assert names == {"encoder.layer_norm.bias": "encoder.transformer.layer_norm.bias"}


def test_the_published_head_loads() -> None:
    head = DimensionHead(width=16)
    theirs = huggingface_tensors() | {f"classifier.{name}": torch.ones_like(v) for name, v in head.state_dict().items()}
    load_dimension_head(head, theirs, "file")
    assert bool((head.dense.weight == 1).all())
    assert head.eval()(torch.zeros(2, 5, 16)).shape == (2, 3)


def test_files_that_do_not_fit_are_named(tmp_path: Path) -> None:
    theirs = huggingface_tensors()
    theirs["wav2vec2.encoder.layers.7.final_layer_norm.bias"] = theirs.pop("wav2vec2.encoder.layer_norm.bias")
    with pytest.raises(UserError) as error:
        load_huggingface(build_speech_encoder(SMALL_SPEECH), theirs, "w.bin")
    assert "missing: encoder.transformer.layer_norm.bias" in str(error.value)
    assert "unknown: encoder.transformer.layers.7.final_layer_norm.bias" in str(error.value)
    with pytest.raises(UserError, match=r"holds neither model\.safetensors nor pytorch_model\.bin"):
        read_tensors(tmp_path)
    for name in ("no.safetensors", "no.bin"):
        with pytest.raises(UserError, match=f"{name}: no such file"):
            read_tensors(tmp_path / name)
    for name in ("bad.safetensors", "bad.bin"):
        (tmp_path / name).write_bytes(b"none of it")
        with pytest.raises(UserError, match=name):
            read_tensors(tmp_path / name)
