"""Silero's network in numpy is that of its package, and tells speech from other sound."""

from pathlib import Path

import numpy as np
import pytest
import torch
from avf_curation.demo.speech import speak
from avf_curation.detectors import detector_set, silero_vad
from avf_curation.detectors.detector_set import resolve_backends
from avf_curation.detectors.silero_vad import SileroVad, find_silero_weights
from avf_curation.media.decode import MediaFile
from avf_curation.runs.identity import run_identity
from avf_shards.errors import UserError
from safetensors.numpy import save_file
from support.curation_runs import make_recipe

SOUND = np.round(speak(600, 120, 3).samples * 32767).astype(np.int16)  # 24 s: more than one part of the calculation


@pytest.fixture(scope="module")
def network() -> SileroVad:
    return SileroVad.from_package()


def load_packages_model(path: Path) -> torch.jit.ScriptModule:
    """Return the package's own network, and write its weights as `path` under the names of its safetensors file."""
    weights = find_silero_weights()
    assert weights is not None
    model = torch.jit.load(str(weights.with_name("silero_vad.jit")))
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
    weights = find_silero_weights()
    assert weights is not None
    theirs, ours = load_file(tmp_path / "jit.safetensors"), load_file(weights)
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


def test_a_run_without_the_package_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert resolve_backends(make_recipe(), tmp_path).speech == "silero"
    for setting in ("silence.speech_backend=none", "gates.silence=skip"):
        assert resolve_backends(make_recipe(setting), tmp_path).speech == "none"
    assert not caplog.messages
    monkeypatch.setattr(detector_set, "find_silero_weights", lambda: None)
    assert resolve_backends(make_recipe(), tmp_path).speech == "none"
    assert "silero-vad is not installed, so the share of speech is not measured" in caplog.text
    with pytest.raises(UserError, match=r"pip install silero-vad==6\.2\.3"):
        resolve_backends(make_recipe("silence.speech_backend=silero"), tmp_path)
    monkeypatch.setattr(silero_vad, "find_silero_weights", lambda: None)
    with pytest.raises(UserError, match="not installed here"):
        SileroVad.from_package()


def test_the_weights_are_in_the_fingerprint(tmp_path: Path) -> None:
    settings = ("silence.speech_backend=auto", "silence.speech_backend=none")
    with_silero, without = (
        run_identity(make_recipe(), resolve_backends(make_recipe(setting), tmp_path), ["s"]) for setting in settings
    )
    assert with_silero.weights == {"silero": silero_vad.SILERO_SHA256[:16]}
    assert without.weights == {}
    assert with_silero.fingerprint != without.fingerprint


def test_weights_of_another_version_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "silero_vad/data").mkdir(parents=True)
    (tmp_path / "silero_vad/__init__.py").touch()
    (tmp_path / "silero_vad/data/silero_vad_16k.safetensors").write_bytes(b"other weights")
    monkeypatch.syspath_prepend(tmp_path)
    find_silero_weights.cache_clear()
    try:
        with pytest.raises(UserError, match=r"SHA-256 .*pip install silero-vad==6\.2\.3"):
            find_silero_weights()
    finally:
        find_silero_weights.cache_clear()
