"""Silero's network in numpy is that of its package, and tells speech from other sound."""

from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from avf_curation.demo.speech import speak
from avf_curation.detectors import silero_vad
from avf_curation.detectors.detector_set import resolve_backends
from avf_curation.detectors.shipped_weights import SILERO
from avf_curation.detectors.silero_vad import SileroVad
from avf_curation.media.decode import MediaFile
from avf_curation.runs.identity import run_identity
from safetensors.numpy import save_file
from support.curation_runs import make_recipe

SOUND = np.round(speak(600, 120, 3).samples * 32767).astype(np.int16)  # 24 s: more than one part of the calculation


@pytest.fixture(scope="module")
def network() -> SileroVad:
    return SileroVad.from_program()


def load_packages_model(path: Path) -> torch.jit.ScriptModule:
    """Return the package's own network, and write its weights as `path` under the names of its safetensors file."""
    with resources.as_file(resources.files("silero_vad").joinpath("data", "silero_vad.jit")) as published:
        model = torch.jit.load(str(published))
    names = {
        "stft_conv.weight": "stft.forward_basis_buffer",
        **{
            f"conv{n}.{kind}": f"encoder.{n - 1}.reparam_conv.{kind}"
            for n in (1, 2, 3, 4)
            for kind in ("weight", "bias")
        },
        **{
            f"lstm_cell.{kind}_{side}": f"decoder.rnn.{kind}_{side}"
            for kind in ("weight", "bias")
            for side in ("ih", "hh")
        },
        **{f"final_conv.{kind}": f"decoder.decoder.2.{kind}" for kind in ("weight", "bias")},
    }
    tensors = model.state_dict()
    save_file({name: np.ascontiguousarray(tensors[f"_model.{theirs}"].numpy()) for name, theirs in names.items()}, path)
    return model


def test_the_network_is_that_of_the_package(tmp_path: Path) -> None:
    model = load_packages_model(tmp_path / "jit.safetensors")
    windows = -(-len(SOUND) // silero_vad.WINDOW)
    padded = np.zeros(windows * silero_vad.WINDOW, np.float32)
    padded[: len(SOUND)] = SOUND / np.float32(32768)
    with torch.no_grad():
        expected = [float(model(window[None], 16_000)) for window in torch.from_numpy(padded).split(silero_vad.WINDOW)]
    assert np.ptp(expected) > 0.9, "the sound is a test only where it is speech here and none there"
    probability = SileroVad(tmp_path / "jit.safetensors").speech_probability(SOUND)
    np.testing.assert_allclose(probability, expected, rtol=0, atol=1e-5)


def test_its_two_files_hold_tensors_of_the_same_names_and_shapes(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    load_packages_model(tmp_path / "jit.safetensors")
    theirs, ours = load_file(tmp_path / "jit.safetensors"), load_file(SILERO.path)
    assert {name: value.shape for name, value in theirs.items()} == {name: value.shape for name, value in ours.items()}


def test_a_sound_has_the_same_probabilities_each_time_and_no_memory_of_the_last(network: SileroVad) -> None:
    first = network.speech_probability(SOUND)
    network.speech_probability(SOUND[::-1].copy())
    np.testing.assert_array_equal(network.speech_probability(SOUND), first)
    assert len(network.speech_probability(SOUND[:0])) == 0
    assert len(network.find_speech(SOUND[: 640 * 3])) == 3


def test_each_frame_has_the_verdict_of_the_window_at_its_middle(network: SileroVad) -> None:
    window_of_frame = [0, 1, 3, 4]  # middles at samples 320, 960, 1600, 2240; windows begin every 512
    probability = network.speech_probability(SOUND)
    expected = [probability[window] >= 0.5 for window in window_of_frame]
    assert network.find_speech(SOUND)[:4].tolist() == expected


@pytest.mark.parametrize("name", ["noise", "hum", "tones"])
def test_sound_that_is_no_speech(network: SileroVad, name: str) -> None:
    time_s = np.arange(16_000 * 6) / 16_000
    draw = np.random.default_rng(0)
    tones = np.repeat(draw.choice([262, 330, 392, 523], 24), 4_000)  # a melody
    sounds = {
        "noise": draw.normal(0, 0.1, len(time_s)),
        "hum": 0.2 * np.sin(2 * np.pi * 50 * time_s),
        "tones": 0.2 * np.sin(2 * np.pi * np.cumsum(tones) / 16_000),
    }
    samples = np.round(sounds[name] * 32767).clip(-32768, 32767).astype(np.int16)
    assert network.find_speech(samples).mean() < 0.02


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("video/grid_lwbsza.mpg", 0.5, 1.0),
        ("video/latentsync_demo1.mp4", 0.9, 1.0),
        ("video_more/retalking_face_3.mp4", 0.8, 1.0),
        ("video/liveportrait_s18_music_not_talking.mp4", 0.0, 0.02),
        ("video_more/liveportrait_d14_music_not_talking.mp4", 0.0, 0.02),
        ("video/street_many_faces_facenet.mp4", 0.0, 0.02),
        ("audio/trumpet_no_speech.ogg", 0.0, 0.02),
    ],
)
def test_real_talkers_and_music(shared: Path, network: SileroVad, name: str, low: float, high: float) -> None:
    with MediaFile(shared / "assets" / name, make_recipe().defaults.media) as media:
        audio = media.audio(None)
    assert audio is not None
    assert low <= network.find_speech(audio.samples).mean() <= high


def test_the_weights_are_in_the_fingerprint(tmp_path: Path) -> None:
    settings = ("silence.speech_backend=auto", "silence.speech_backend=none")
    with_silero, without = (
        run_identity(make_recipe(), resolve_backends(make_recipe(setting), tmp_path), ["s"]) for setting in settings
    )
    assert with_silero.weights == {"silero": SILERO.sha256[:16]}
    assert without.weights == {}
    assert with_silero.fingerprint != without.fingerprint
