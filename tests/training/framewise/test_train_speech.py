"""`avf-train train-speech`: windows, augmentation, what learns, and a run that goes on with the same bits."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from avf_shards.errors import FaultError, UserError
from avf_training.cli.main import main
from avf_training.framewise.labels.label_track import LabelTrack, label_path, list_label_tracks, write_label_track
from avf_training.framewise.labels.tasks import TASKS_OF_FRAMES
from avf_training.framewise.labels.trained_videos import find_trained_videos
from avf_training.framewise.models.speech_encoder import build_speech_encoder
from avf_training.framewise.speech.speech_batches import SpeechLoader, augment_wave
from avf_training.framewise.speech.speech_files import make_speech_model
from avf_training.framewise.speech.speech_objective import set_training, speech_forward
from avf_training.framewise.speech.speech_recipe import SpeechRecipe, load_speech_recipe
from avf_training.framewise.speech.voice_windows import VoiceData, list_voice_windows
from avf_training.framewise.speech.wave_store import WaveStore
from avf_training.framewise.tracks.feature_track import FeatureTrack, write_track
from avf_training.framewise.tracks.identity import ExtractorIdentity, TrackSubject
from avf_training.framewise.tracks.loading import load_extractor
from avf_training.framewise.tracks.sound_decoder import decode_sound
from avf_training.framewise.tracks.sound_files import SoundFootage, list_sound_files, name_sound_files
from avf_training.framewise.tracks.track_folder import TrackFolder
from safetensors.torch import load_file, save_file
from support.tiny_extractors import huggingface_names, save_huggingface, speech_config

FPS, SECONDS = 10.0, 12
FRAMES = int(FPS * SECONDS)
VIDEOS = {"a": "train", "b": "train", "c_left": "validation"}


def write_labels(folder: Path, task: str, video: str, values_NK: np.ndarray) -> None:
    write_label_track(
        folder,
        LabelTrack(
            subject=TrackSubject(source="lab", video_id=video),
            task=TASKS_OF_FRAMES[task],
            split=VIDEOS.get(video, "test"),  # type: ignore[arg-type]  # one of the names of sets
            group=video,
            person=None,
            scene=None,
            fps=FPS,
            frames_N=np.arange(1, len(values_NK) + 1),
            times_s_N=np.arange(len(values_NK)) / FPS,
            values_NK=values_NK.astype(np.float32),
        ),
    )


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos of 12 s with both labels; the loudness of a tone is its arousal. In a, seconds 5 to 7 are silent."""
    folder = tmp_path_factory.mktemp("speech")
    (folder / "sounds").mkdir()
    for number, video in enumerate(VIDEOS):
        affect_N2 = (
            np.stack([np.sin(np.arange(FRAMES) / 9 + number), np.cos(np.arange(FRAMES) / 7 + 2 * number)], 1) * 0.8
        )
        loud_S = np.repeat(affect_N2[:, 1] * 0.4 + 0.5, int(16_000 / FPS))
        tone_S = np.sin(2 * np.pi * 300 * np.arange(len(loud_S)) / 16_000)
        soundfile.write(folder / f"sounds/{video.removesuffix('_left')}.wav", 0.5 * loud_S * tone_S, 16_000)
        write_labels(folder / "labels", "va", video, affect_N2)
        write_labels(folder / "labels", "expr", video, (np.arange(FRAMES) // 20 % 8)[:, None])
        heard_N1 = np.ones((FRAMES, 1), np.float32)
        heard_N1[50:70] = 0 if video == "a" else 1
        track = FeatureTrack(
            subject=TrackSubject(source="lab", video_id=video.removesuffix("_left")),
            extractor=ExtractorIdentity.from_settings("speech", {}, "ab" * 32),
            fps=FPS,
            inputs_sha256="cd" * 32,
            frames_N=np.arange(1, FRAMES + 1),
            times_s_N=np.arange(FRAMES) / FPS,
            vectors_ND=heard_N1,
        )
        write_track(TrackFolder(folder / "voice").path("speech", track.subject), track)
    torch.manual_seed(1)
    config = speech_config(stable_norm=True)
    save_huggingface(folder / "pdem", huggingface_names(build_speech_encoder(config).state_dict()), config)
    return folder


def voice_data(lab: Path) -> VoiceData:
    return VoiceData(sounds=list_sound_files(lab / "sounds", print), labels=lab / "labels", voice=lab / "voice")


def train(lab: Path, out: Path, *words: str) -> int:
    argv = ["train-speech", str(lab / "sounds"), "--labels", str(lab / "labels"), "--voice", str(lab / "voice")]
    argv += ["--encoder", str(lab / "pdem"), "--recipe", "sun_v3", "--out", str(out), "--device", "cpu"]
    return main([*argv, "--set", "batch=4", "--set", "threads=1", *words])


def test_windows_are_where_somebody_speaks_and_labels_are_valid(lab: Path) -> None:
    sets = list_voice_windows(voice_data(lab), ["va", "expr"], clock="exact", skips=False)
    times = [(each.file.stem, each.segment.start_s, each.segment.end_s) for each in sets.training]
    assert times == [("a", 0, 4), ("a", 1, 5), ("a", 7, 11), ("a", 8, 12), ("b", 0, 4), ("b", 2, 6), ("b", 4, 8),
                     ("b", 6, 10), ("b", 8, 12)]  # fmt: skip
    assert {each.file.stem for each in sets.validation} == {"c"}
    first = sets.training[0]
    assert first.affect_S2 is not None
    assert first.affect_S2.shape == (20, 2)
    assert first.affect_S2[:, 0] == pytest.approx(0.8 * np.sin(np.arange(0, 40, 2) / 9))
    assert first.expressions_W is not None
    assert first.expressions_W.tolist() == [0, 0, 1, 1]


def test_videos_of_the_test_set_are_neither_learned_nor_scored(lab: Path, tmp_path: Path) -> None:
    """Nor are their labels, sound and voice asked for."""
    expected = list_voice_windows(voice_data(lab), ["va", "expr"], clock="exact", skips=False)
    shutil.copytree(lab / "labels", tmp_path / "labels")
    for task, values_NK in (("va", np.zeros((FRAMES, 2))), ("expr", np.ones((FRAMES, 1)))):
        write_labels(tmp_path / "labels", task, "tested", values_NK)
    data = replace(voice_data(lab), labels=tmp_path / "labels")
    sets = list_voice_windows(data, ["va", "expr"], clock="exact", skips=False)
    assert (sets.digest(), sets.skipped) == (expected.digest(), ())


def test_people_in_two_sets_and_rates_that_differ_are_told(
    lab: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(lab / "labels", tmp_path / "labels")
    data = replace(voice_data(lab), labels=tmp_path / "labels")
    write_labels(tmp_path / "labels", "va", "tested", np.zeros((FRAMES, 2)))
    for track in list(list_label_tracks(tmp_path / "labels", "va")):
        label_path(tmp_path / "labels", track.task, track.subject).unlink()
        person = None if track.subject.video_id == "b" else "p"
        write_label_track(tmp_path / "labels", replace(track, person=person))
    list_voice_windows(data, ["va"], clock="exact", skips=False)
    for pair in ("train and in validation", "train and in test", "validation and in test"):
        assert f"1 person or media file in {pair}: lab/p" in caplog.text
    for track in list(list_label_tracks(tmp_path / "labels", "va")):
        label_path(tmp_path / "labels", track.task, track.subject).unlink()
        write_label_track(tmp_path / "labels", replace(track, fps=12.0))
    with pytest.raises(
        UserError,
        match=r"10 frames a second in the .* track of .*, and 12 in its labels; write both with the same --fps",
    ):
        list_voice_windows(data, ["va"], clock="exact", skips=False)


def test_labels_of_a_folder_of_ones_own_find_their_sound_by_its_path(lab: Path, tmp_path: Path) -> None:
    for name in ("anna/talk.wav", "ben/talk.wav", "ben/walk.wav", "ben/walk.flac"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(lab / "sounds/a.wav", tmp_path / name)
    faults: list[str] = []
    names = name_sound_files(tmp_path, faults.append)
    assert {name: str(path.relative_to(tmp_path)) for name, path in names.items()} == {
        **{name: name for name in ("anna/talk.wav", "ben/talk.wav", "ben/walk.flac", "ben/walk.wav")},
        "walk": "ben/walk.flac",  # of two files of a folder the first; talk is in two folders, and means neither
    }
    (fault,) = faults
    assert fault.startswith(f"{tmp_path}/ben/walk.wav: is the video walk, as {tmp_path}/ben/walk.flac is; leave")
    shutil.rmtree(tmp_path)
    labels, voice = tmp_path / "labels", tmp_path / "voice"
    for folder, source in ((labels, lab / "labels"), (voice, lab / "voice")):
        shutil.copytree(source, folder)
    for task in ("va", "expr"):
        for track in list(list_label_tracks(labels, task)):
            label_path(labels, track.task, track.subject).unlink()
            subject = replace(track.subject, video_id=f"{track.subject.video_id.removesuffix('_left')}.wav")
            write_label_track(labels, replace(track, subject=subject))
    for path in list(voice.rglob("*.parquet")):
        track_of_voice = TrackFolder(voice).read_file(path)
        path.unlink()
        subject = replace(track_of_voice.subject, video_id=f"{track_of_voice.subject.video_id}.wav")
        write_track(TrackFolder(voice).path("speech", subject), replace(track_of_voice, subject=subject))
    named = VoiceData(sounds=name_sound_files(lab / "sounds", pytest.fail), labels=labels, voice=voice)
    sets = list_voice_windows(named, ["va", "expr"], clock="exact", skips=False)
    assert {each.file.stem for each in sets.training} == {"a", "b"}


def test_a_video_without_sound_or_voice_is_named_or_left_out(lab: Path) -> None:
    data = voice_data(lab)
    silent = VoiceData(sounds={k: v for k, v in data.sounds.items() if k != "b"}, labels=data.labels, voice=data.voice)
    with pytest.raises(UserError, match="lab/b: has labels, and there is no file of its sound"):
        list_voice_windows(silent, ["va"], clock="exact", skips=False)
    sets = list_voice_windows(silent, ["va"], clock="exact", skips=True)
    assert sets.skipped == ("lab/b: has labels, and there is no file of its sound",)
    assert {each.file.stem for each in sets.training} == {"a"}
    silent = VoiceData(sounds={}, labels=data.labels, voice=data.voice)
    with pytest.raises(UserError, match=r"labelled videos cannot be used; .* missing=skip:\n  lab/.*\n  lab/"):
        list_voice_windows(silent, ["va"], clock="exact", skips=False)
    other = VoiceData(sounds=data.sounds, labels=data.labels, voice=lab)
    with pytest.raises(UserError, match="has tracks of neither mouth nor speech"):
        list_voice_windows(other, ["va"], clock="exact", skips=False)


def test_an_encoder_that_does_not_fit_leaves_no_folder(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file({"a": torch.zeros(3)}, tmp_path / "other.safetensors")
    assert train(lab, tmp_path / "run", "--encoder", str(tmp_path / "other.safetensors")) == 2
    assert "does not fit the model" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_every_damaged_voice_track_is_named(lab: Path, tmp_path: Path) -> None:
    data = voice_data(lab)
    shutil.copytree(data.voice, tmp_path / "voice")
    files = sorted((tmp_path / "voice").rglob("*.parquet"))
    for path in files:
        path.write_bytes(b"cut off")
    with pytest.raises(FaultError, match=f"{len(files)} files cannot be read:") as caught:
        list_voice_windows(replace(data, voice=tmp_path / "voice"), ["va"], clock="exact", skips=True)
    assert all(str(path) in str(caught.value) for path in files)


def test_a_wave_is_turned_gets_noise_or_gets_quieter() -> None:
    wave = np.sin(np.arange(1000) / 5).astype(np.float32)
    seen = set()
    for seed in range(30):
        changed = augment_wave(wave, np.random.default_rng(seed))
        assert changed.dtype == np.float32
        ratio = changed[1:] / wave[1:]
        if np.allclose(ratio, -1):
            seen.add("sign")
        elif np.ptp(ratio[np.abs(wave[1:]) > 0.5]) < 1e-5:
            seen.add("gain")
            assert 10 ** (-20 / 20) - 1e-6 <= ratio[10] <= 10 ** (-1 / 20) + 1e-6
        else:
            seen.add("noise")
            assert 0.00008 < (changed - wave).std() / wave.std() < 0.0055
    assert seen == {"sign", "gain", "noise"}


@pytest.mark.parametrize("task", ["va", "expr", "both"])
@pytest.mark.parametrize("trained_layers", [0, 1])
def test_only_the_head_and_the_last_layers_learn(lab: Path, tmp_path: Path, task: str, trained_layers: int) -> None:
    recipe = load_speech_recipe("sun_v1", [f"task={task}", f"trained_layers={trained_layers}", "batch=2"])
    model = make_speech_model(recipe, lab / "pdem")
    set_training(model, trained_layers)
    sets = list_voice_windows(voice_data(lab), recipe.label_tasks, clock="exact", skips=False)
    waves = WaveStore(tmp_path, [each.file for each in sets.training])
    waves.decode(decode_sound, lambda number, files: None)
    batch = next(iter(SpeechLoader(sets.training, waves, batch=2, seed=0, augment=True)))
    loss, parts = speech_forward(recipe, torch.ones(8))(model, batch)
    assert bool(torch.isfinite(loss))
    assert parts.keys() == ({"concordance", "expression"} if task == "both" else set())
    loss.backward()
    learned = {name for name, each in model.named_parameters() if each.grad is not None}
    assert all(name.startswith(("head.", "encoder.encoder.transformer.layers.1.")) for name in learned)
    assert any(name.startswith("encoder.") for name in learned) == bool(trained_layers)
    assert not model.encoder.feature_extractor.training
    assert model.encoder.encoder.transformer.layers[1].training == bool(trained_layers)


def test_a_run_learns_and_its_best_model_is_an_extractor(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--set", "steps=6", "--set", "trained_layers=1", "--set", "rate=1e-3"]
    assert train(lab, tmp_path / "run", *words) == 0
    assert "V3, va, protocol ours" in capsys.readouterr().out
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["windows"] == {"training": 9, "validation": 5}
    rows = [json.loads(line) for line in (tmp_path / "run/evaluation.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 3, 5]
    assert result["best"]["score"] == max(row["score"] for row in rows)
    best = tmp_path / "run" / result["best"]["folder"]
    trained = find_trained_videos(best)
    assert trained is not None
    assert [each.video for each in trained.videos] == ["a", "b"], "the video of validation is new to it"
    assert [path.name for path in (tmp_path / "run/best").iterdir()] == [best.name]
    sound = SoundFootage(wave_S=np.zeros(16_000, np.float32), rate=25.0)
    assert load_extractor("pdem_v3", best).extract(sound).vectors_RD.shape == (5, 32)
    assert train(lab, tmp_path / "run", *words) == 0, "a finished run is told again"
    assert train(lab, tmp_path / "run", *words, "--set", "seed=1") == 2
    assert "holds a run with other settings" in capsys.readouterr().err


def test_a_training_that_diverged_is_not_called_constant_labels(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--set", "trained_layers=1", "--set", "rate=1e35"]
    assert train(lab, tmp_path / "few", *words, "--set", "steps=2") == 2
    errors = capsys.readouterr().err
    assert "no epoch has a validation score: predictions are nan or infinite, so the training has diverged" in errors
    assert "constant" not in errors
    assert train(lab, tmp_path / "many", *words, "--set", "steps=9", "--set", "nonfinite_limit=3") == 2
    assert "3 steps in a row have no finite loss, up to step 3: the training has diverged" in capsys.readouterr().err


def test_a_run_that_was_killed_goes_on_with_the_same_bits(
    lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--set", "steps=4", "--set", "task=both", "--set", "trained_layers=1"]
    assert train(lab, tmp_path / "whole", *words) == 0
    make_batch, made = SpeechLoader.make_batch, []

    def kill(self: SpeechLoader, *arguments: object) -> object:
        made.append(arguments)
        if len(made) == 5:  # two steps, both batches of the validation, and then
            raise KeyboardInterrupt
        return make_batch(self, *arguments)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(SpeechLoader, "make_batch", kill)
    assert train(lab, tmp_path / "killed", *words) != 0
    monkeypatch.undo()
    assert train(lab, tmp_path / "killed", *words) == 0
    whole, killed = (json.loads((tmp_path / name / "result.json").read_text()) for name in ("whole", "killed"))
    assert whole == killed
    weights = [
        load_file(tmp_path / name / whole["best"]["folder"] / "model.safetensors") for name in ("whole", "killed")
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_recipes_are_those_of_the_paper() -> None:
    assert [load_speech_recipe(f"sun_v{number}").open_layers for number in (1, 2, 3)] == [2, 2, 4]
    assert load_speech_recipe("sun_expressions").task == "expr"
    assert load_speech_recipe("sun_multitask").label_tasks == ("va", "expr")
    assert load_speech_recipe("sun_v3").options.audio_rate == 1e-4
    for words, message in (
        (["batch=1"], "batch 1 must be at least 2"),
        (["rate=0"], "rate 0.0 must be above 0"),
        (["protocol=theirs"], "protocol: 'theirs'"),
    ):
        with pytest.raises(UserError, match=message):
            load_speech_recipe("sun_v3", words)
    assert SpeechRecipe(version="V1", task="va").frozen()["batch"] == 16
