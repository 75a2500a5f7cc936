"""avf-train frames: a file for each input, on one clock with the frames, written once."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import soundfile
import torch
from avf_curation.demo.video import ShotScript, VideoScript, encode_video
from avf_shards.errors import FaultError, UserError
from avf_shards.format.index import load_index
from avf_training.cli.main import main
from avf_training.timed_features import inputs
from avf_training.timed_features.audio_frames import AudioFrames
from avf_training.timed_features.frame_file import read_frame_features
from support.labelled import make_label_rows, make_labelled_shards
from support.models import save_pretrained_model


@pytest.fixture(name="model", scope="module")
def _model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pretrained_model(tmp_path_factory.mktemp("frames") / "nano", 2)


@pytest.fixture(name="shards", scope="module")
def _shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelled")
    make_labelled_shards(folder, {"interviews": make_label_rows(1)})
    return folder / "shards"


def _write_wave(path: Path, seconds: float, rate_hz: int = 16_000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).normal(0, 0.1, round(seconds * rate_hz))
    soundfile.write(path, noise, rate_hz, subtype="PCM_16")
    return path


def _frames(model: Path, source: Path, out: Path, *options: str) -> int:
    return main(["frames", str(source), "--model", str(model), "--out", str(out), "--device", "cpu", *options])


def test_a_sound_file_has_a_vector_for_each_frame(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wave = _write_wave(tmp_path / "talk.wav", 1.0)
    assert _frames(model, wave, tmp_path / "out", "--fps", "30", "--layer", "1,4") == 0
    assert capsys.readouterr().out == f"{tmp_path}/out: 1 file written (30 frames), 0 files there already\n"
    features = read_frame_features(tmp_path / "out" / "talk.safetensors")
    assert features.audio_NLD is not None
    assert features.video_NLD is None
    assert (features.header.fps, features.header.audio_layers, features.header.input) == (30.0, (1, 4), "talk.wav")
    samples, _ = soundfile.read(wave, dtype="int16")
    assert torch.equal(features.audio_NLD, AudioFrames(model, fps=30.0, layers=(1, 4)).of(samples).vectors_NLD)
    plain = safetensors.numpy.load_file(tmp_path / "out" / "talk.safetensors")
    assert plain["audio"].shape == (30, 2, 96)
    assert plain["times_s"].tolist() == pytest.approx([(n + 0.5) / 30 for n in range(30)])


def test_sound_of_another_rate_is_resampled(model: Path, tmp_path: Path) -> None:
    assert _frames(model, _write_wave(tmp_path / "talk.wav", 1.0, 44_100), tmp_path / "out") == 0
    assert read_frame_features(tmp_path / "out" / "talk.safetensors").frames == 25


def test_clips_have_what_is_heard_and_seen_on_one_clock(model: Path, shards: Path, tmp_path: Path) -> None:
    options = ("--modality", "both", "--layer", "all", "--values", "float16")
    assert _frames(model, shards, tmp_path / "out", *options) == 0
    key = sorted(load_index(next(shards.glob("*.index.json"))).by_key())[0]
    features = read_frame_features(tmp_path / "out" / f"{key}.safetensors")
    assert features.audio_NLD is not None
    assert features.video_NLD is not None
    assert features.audio_NLD.shape == features.video_NLD.shape == (features.frames, 4, 96)
    assert features.audio_NLD.dtype == torch.float16
    assert features.header.input == key


def test_what_is_written_is_left_and_others_are_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # In this process: another one for each of so many files takes seconds.
    monkeypatch.setattr(inputs, "decode_sound", lambda path: soundfile.read(path, dtype="float32")[0])
    folder, out = tmp_path / "talks", tmp_path / "out"
    _write_wave(folder / "a" / "talk.wav", 0.5)
    _write_wave(folder / "b" / "talk.wav", 0.5)
    assert _frames(model, folder, out) == 0
    first, second = out / "a" / "talk.safetensors", out / "b" / "talk.safetensors"
    before = first.read_bytes()
    second.unlink()
    assert _frames(model, folder, out) == 0
    assert "1 file written (13 frames), 1 file there already" in capsys.readouterr().out
    assert first.read_bytes() == before == second.read_bytes()
    second.unlink()
    assert _frames(model, folder, out, "--fps", "24") == 2
    assert (
        f"{first}: is there already with another fps (25.0, and now 24.0); name another folder"
        in capsys.readouterr().err
    )
    assert not second.exists()
    first.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    assert _frames(model, folder, out) == 0
    assert "is damaged" in capsys.readouterr().err
    assert first.read_bytes() == before
    first.write_text("my notes")
    assert _frames(model, folder, out) == 2
    assert "holds no features of frames" in capsys.readouterr().err
    assert first.read_text() == "my notes"


def test_inputs_without_a_file_are_named_and_the_others_written(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "talks"
    _write_wave(folder / "good.wav", 0.5)
    _write_wave(folder / "good.flac", 0.5)
    _write_wave(folder / "short.wav", 0.1)
    (folder / "broken.mp4").write_bytes(b"no film")
    assert _frames(model, folder, tmp_path / "out") == 1
    lines = capsys.readouterr()
    assert "1 file written" in lines.out
    assert "short.wav: sound of 1,600 samples (0.100 s): a token hears 2,800 (0.175 s)" in lines.err
    assert "broken.mp4: its sound does not decode" in lines.err
    assert f"{folder}/good.wav: has the name of {folder}/good.flac but for the ending; leave one of them" in lines.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["good.safetensors"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--fps", "0"), "--fps 0: frames a second are above 0 and below 1000; 25 is usual"),
        (("--fps", "nan"), "--fps nan: frames a second are above 0"),
        (("--layer", "5"), "layer 5: the encoder has the layers 1 to 4"),
        (("--layer", "deep"), "layer 'deep': name layers by number"),
        (("--keep-clips", "clips"), "--keep-clips: no clips are cut for --modality audio"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_anything_is_written(
    model: Path, tmp_path: Path, options: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _frames(model, _write_wave(tmp_path / "talk.wav", 0.5), tmp_path / "out", *options) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_inputs_that_are_none_are_refused(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _frames(model, tmp_path / "absent.wav", tmp_path / "out") == 2
    assert "absent.wav: no such file or folder; name a video, a sound file" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert _frames(model, tmp_path / "empty", tmp_path / "out") == 2
    assert "holds no file of video or sound" in capsys.readouterr().err
    assert _frames(tmp_path / "no_model", tmp_path, tmp_path / "out") == 2
    assert "holds no saved model" in capsys.readouterr().err
    assert _frames(model, _write_wave(tmp_path / "talk.wav", 0.5), tmp_path / "out", "--modality", "video") == 2
    assert "talk.wav: no clip can be cut from it: no picture" in capsys.readouterr().err


def test_files_that_are_none_of_ours_are_refused_when_read(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent: no such file; `avf-train frames` writes one"):
        read_frame_features(tmp_path / "absent")
    with pytest.raises(UserError, match="holds no features of frames"):
        read_frame_features(model / "model.safetensors")
    assert _frames(model, _write_wave(tmp_path / "talk.wav", 0.5), tmp_path / "out") == 0
    path = tmp_path / "out" / "talk.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    with pytest.raises(FaultError, match="is damaged"):
        read_frame_features(path)
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    values = json.loads(header["__metadata__"]["frame_features"])
    header["__metadata__"]["frame_features"] = json.dumps(values | {"schema_version": 99})
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])
    with pytest.raises(UserError, match="update avf-foundry"):
        read_frame_features(path)


@pytest.mark.slow  # clips are cut from the film first
def test_a_film_is_seen_where_a_face_is_and_heard_as_its_file(model: Path, tmp_path: Path) -> None:
    film = tmp_path / "talk.mp4"
    film.write_bytes(encode_video(VideoScript(shots=(ShotScript(frames=80, speakers=(3,), seed=5),))))
    assert _frames(model, film, tmp_path / "heard") == 0
    assert _frames(model, film, tmp_path / "out", "--modality", "both", "--keep-clips", str(tmp_path / "clips")) == 0
    (path,) = (tmp_path / "out").iterdir()
    clip = read_frame_features(path)
    film = read_frame_features(tmp_path / "heard" / "talk.safetensors")
    assert clip.header.start_s == pytest.approx(0, abs=0.1)
    assert clip.video_NLD is not None
    assert clip.audio_NLD is not None
    assert film.audio_NLD is not None
    assert len(clip.video_NLD) == len(clip.audio_NLD) <= len(film.audio_NLD)
    (index,) = (tmp_path / "clips" / "shards").glob("*.index.json")
    assert list(load_index(index).by_key()) == [path.stem]


def test_a_recording_of_the_same_name_and_length_is_another_input(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wave = _write_wave(tmp_path / "a" / "talk.wav", 0.5)
    assert _frames(model, wave, tmp_path / "out") == 0
    other = tmp_path / "b" / "talk.wav"
    other.parent.mkdir()
    samples, rate_hz = soundfile.read(wave)
    soundfile.write(other, samples[::-1], rate_hz, subtype="PCM_16")
    assert other.stat().st_size == wave.stat().st_size
    assert _frames(model, other, tmp_path / "out") == 2
    assert "talk.safetensors: is there already with another input (" in capsys.readouterr().err
