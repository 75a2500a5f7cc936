"""The drop-in for wav2vec 2.0: its calls, its numbers of tokens, its times, in the adapters that take it in."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from avf_shards.errors import UserError
from avf_training.models.config import Geometry
from avf_training.models.presets import preset
from avf_training.timed_features.audio_frames import audio_windows
from avf_training.timed_features.neighbours import stack_layers, with_neighbours
from avf_training.timed_features.speech import SpeechEncoder, SpeechProcessor, count_tokens, token_centres
from support.models import save_pretrained_model
from support.talking_heads import hallo_projection, latent_ranges, split_tokens, stable_avatar_adapter
from torch import Tensor

GEOMETRY = Geometry()


@pytest.fixture(name="model", scope="module")
def _model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pretrained_model(tmp_path_factory.mktemp("speech") / "model", 5)


@pytest.fixture(name="cases", scope="module")
def _cases(shared: Path) -> Path:
    return shared / "oracles" / "applications"


def _load(path: Path) -> dict[str, Tensor]:
    with np.load(path) as arrays:
        return {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays.files}


def _weights(arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix("w."): value for key, value in arrays.items() if key.startswith("w.")}


def _noise(samples: int) -> Tensor:
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(samples))


@pytest.mark.real
def test_there_are_as_many_tokens_as_wav2vec_makes_and_stable_avatar_cuts_them_likewise(cases: Path) -> None:
    slots = json.loads((cases / "audio_slots.json").read_text())
    for samples, tokens in slots["wav2vec2_tokens_of_samples"].items():
        assert count_tokens(int(samples)) == len(token_centres(int(samples))) == tokens
    for sizes, ranges in slots["stableavatar_latent_ranges"].items():
        tokens, frames = map(int, sizes.split(","))
        assert latent_ranges(tokens, frames) == [tuple(each) for each in ranges]


@pytest.mark.real
@pytest.mark.parametrize("case", ["train25", "infer25", "train30", "short"])
def test_the_adapter_of_the_tests_is_the_authors(cases: Path, case: str) -> None:
    arrays = _load(cases / "stableavatar_adapter.npz")
    given = {name: arrays[f"{case}.in.{name}"] for name in ("vocal", "latents", "e0", "e")}
    inputs = given["latents"], given["e0"], given["e"]
    context, lengths = stable_avatar_adapter(_weights(arrays), given["vocal"], inputs, int(arrays[f"{case}.frames"]))
    assert lengths == arrays[f"{case}.out.lens"].tolist()
    torch.testing.assert_close(context, arrays[f"{case}.out.context"], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("samples", "frames", "tokens"), [(51_840, 81, 161), (53_760, 81, 167), (43_200, 81, 134)])
def test_stable_avatar_takes_our_tokens_in_the_calls_it_has(
    model: Path, samples: int, frames: int, tokens: int
) -> None:
    processor = SpeechProcessor.from_pretrained(model)
    encoder = SpeechEncoder.from_pretrained(model, width=768, local_files_only=True).to("cpu")
    encoder.requires_grad_(False)
    wave = _noise(samples).numpy()
    values = processor(wave, sampling_rate=16_000, return_tensors="pt").input_values
    state = encoder(values.to(encoder.device)).last_hidden_state
    assert state.shape == (1, tokens, 768)
    assert encoder.config.hidden_size == 768
    split, _ = split_tokens(state, frames)
    assert split.shape == (1, 21, 15 if tokens < 167 else 17, 768)


@pytest.mark.real
def test_hallo_stacks_layers_between_neighbours_and_projects_them(cases: Path) -> None:
    arrays = _load(cases / "hallo_conventions.npz")
    windows = with_neighbours(arrays["windows.in"])
    assert torch.equal(windows, arrays["windows.out"])
    projected = hallo_projection(_weights(arrays), windows)
    torch.testing.assert_close(projected, arrays["proj.out"], rtol=1e-12, atol=1e-12)


@pytest.mark.real
def test_another_number_of_tokens_lies_where_hallo_interpolates(cases: Path) -> None:
    arrays = _load(cases / "hallo_conventions.npz")
    sound = arrays["interp.in"][0].numpy()
    samples = 400 + 320 * (len(sound) - 1)
    own = token_centres(samples)
    for tokens in (5, 12):
        asked = np.linspace(own[0], own[-1], tokens)
        assert np.abs(token_centres(samples, tokens) - asked).max() <= 0.5  # a centre is a whole sample
        there = np.stack([np.interp(asked, own, sound[:, channel]) for channel in range(3)], 1)
        np.testing.assert_allclose(there, arrays[f"interp.{tokens}"][0].numpy(), rtol=1e-12, atol=1e-12)
    assert token_centres(samples, len(own)).tolist() == own.tolist()


def test_hallo_takes_our_layers_in_the_calls_it_has(model: Path) -> None:
    extractor = SpeechProcessor.from_pretrained(model, local_files_only=True)
    encoder = SpeechEncoder.from_pretrained(model, local_files_only=True).to(device="cpu")
    encoder.feature_extractor._freeze_parameters()
    assert not any(parameter.requires_grad for parameter in encoder.encoder.embed.parameters())
    values = np.squeeze(extractor(_noise(24_000).numpy(), sampling_rate=16_000).input_values)
    frames = int(np.ceil(len(values) / 16_000 * 25))
    sound = torch.from_numpy(values).float()[None]
    with torch.no_grad():
        states = encoder(sound, seq_len=frames, output_hidden_states=True)
    depth = preset("nano").audio.depth
    assert len(states.hidden_states) == depth + 1
    assert torch.equal(states.hidden_states[-1], states.last_hidden_state)
    assert torch.equal(states[0], states.last_hidden_state)
    stacked = stack_layers(states.hidden_states)
    assert stacked.shape == (frames, depth, 96)
    assert torch.equal(stacked, torch.stack(states.hidden_states[1:], dim=1).squeeze(0).transpose(0, 1))
    assert with_neighbours(stacked).shape == (frames, 5, depth, 96)


def test_tokens_are_those_of_frames_where_their_centres_are_the_same(model: Path) -> None:
    encoder = SpeechEncoder.from_pretrained(model)
    wave = _noise(16_000)
    with torch.no_grad():
        own = encoder(wave[None]).last_hidden_state
        same = encoder(wave[None], seq_len=49).last_hidden_state
        moved = encoder(torch.cat((torch.zeros(3200), wave))[None]).last_hidden_state
    assert torch.equal(own, same)
    assert not torch.equal(moved[:, :49], own)


def test_the_map_learns_and_the_encoder_where_it_may(model: Path) -> None:
    encoder = SpeechEncoder.from_pretrained(model, width=128)
    encoder(_noise(8000)[None]).last_hidden_state.square().mean().backward()
    assert encoder.project.weight.grad.abs().sum() > 0
    assert next(encoder.encoder.blocks.parameters()).grad is not None
    encoder.encoder.requires_grad_(False)
    encoder.zero_grad(set_to_none=True)
    encoder(_noise(8000)[None]).last_hidden_state.square().mean().backward()
    assert encoder.project.weight.grad.abs().sum() > 0
    assert next(encoder.encoder.blocks.parameters()).grad is None


def test_half_precision_hears_the_same(model: Path) -> None:
    encoder = SpeechEncoder.from_pretrained(model)
    with torch.no_grad():
        exact = encoder(_noise(8000)[None]).last_hidden_state
        half = encoder.to(torch.bfloat16)(_noise(8000)[None]).last_hidden_state
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), exact, rtol=0, atol=0.1)


def test_the_processor_keeps_the_level() -> None:
    processor = SpeechProcessor()
    wave = (_noise(1600) * 0.2).numpy()
    assert np.array_equal(processor(wave, 16_000, return_tensors="np").input_values, wave[None])
    assert np.array_equal(processor(wave).input_values[0], wave)
    samples_S = (wave * 32768).astype(np.int16)
    assert torch.equal(
        processor(samples_S, return_tensors="pt")["input_values"][0], torch.from_numpy(samples_S) / 32768
    )


def test_unit_variance_would_move_what_the_encoder_reads() -> None:
    wave = _noise(40_960)
    wave = 0.1 * (wave - wave.mean()) / wave.std(correction=0)
    start = np.zeros(1, np.int64)
    own, scaled = (audio_windows(each, start, GEOMETRY)[0, 0, :250] for each in (wave, wave / 0.1))
    moved = (scaled - own)[own > own.min() + 1]  # kaldi's floor stays, under which a filter hears nothing
    assert len(moved) > 0.9 * own.numel()
    # Energies are divided by twice AudioSet's deviation; in training, gains of 0.5 to 1.5 moved them by up to 0.15.
    torch.testing.assert_close(moved, torch.full_like(moved, math.log(100) / (2 * 4.5689974)), atol=1e-3, rtol=0)
    assert float(moved.mean()) > 0.5


def test_what_does_not_fit_is_refused(model: Path) -> None:
    processor, encoder = SpeechProcessor(), SpeechEncoder.from_pretrained(model)
    with pytest.raises(UserError, match="sound of 44100 Hz: the models hear 16000 Hz"):
        processor(np.zeros(44_100, np.float32), sampling_rate=44_100)
    with pytest.raises(UserError, match="return_tensors 'tf': there are 'pt' and 'np'"):
        processor(np.zeros(16_000, np.float32), return_tensors="tf")
    with pytest.raises(UserError, match=r"sound of 399 samples \(0.025 s\): a token hears 400"):
        encoder(torch.zeros(1, 399))
    with pytest.raises(UserError, match=r"a batch has the shape \(rows, samples\)"):
        encoder(torch.zeros(16_000))
    with pytest.raises(UserError, match=r"not scaled to unit variance as the processors of wav2vec 2\.0 do"):
        encoder(10 * _noise(16_000)[None])
    with pytest.raises(UserError, match="seq_len 0: must be at least 1"):
        encoder(torch.zeros(1, 16_000), seq_len=0)
    with pytest.raises(UserError, match="width 0: must be at least 1"):
        SpeechEncoder.from_pretrained(model, width=0)
    with pytest.raises(UserError, match="call the encoder with output_hidden_states=True"):
        stack_layers(encoder(torch.zeros(1, 16_000)).hidden_states)
    with pytest.raises(UserError, match="each_side -1"):
        with_neighbours(torch.zeros(3, 1, 2), -1)
