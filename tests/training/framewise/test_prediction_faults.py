"""Predictions of tracks that are damaged or of something else: all others are written, and no folder mixes models."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from avf_training.cli.main import main
from avf_training.evaluation.metrics import Floats
from avf_training.framewise.tracks.feature_track import read_track, write_track
from avf_training.framewise.tracks.identity import ExtractorIdentity, TrackSubject
from avf_training.framewise.tracks.track_folder import TrackFolder
from avf_training.framewise.training.joined_tracks import JoinedTracks
from avf_training.framewise.training.predict_tracks import RunPredictor, TrackPrediction, load_predictor
from support.frame_ensembles import write_plan
from support.frame_predictions import SOURCE, write_labels, write_model
from support.planted_tracks import VIDEOS, write_planted_corpus, write_planted_track

SMALL = ("visual=[looks]", "elm={kernels: [linear], penalties: [1.0]}", "threads=1", "normalization=standard")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kernel machine on planted tracks, which lie beside it."""
    folder = tmp_path_factory.mktemp("planted")
    tracks, labels = write_planted_corpus(folder)
    words = [word for setting in SMALL for word in ("--set", setting)]
    argv = ["--tracks", str(tracks), "--labels", str(labels), "--task", "va", "--recipe", "sun_kernel_elm"]
    assert main(["train-frames", *argv, "--out", str(folder / "run"), "--device", "cpu", *words]) == 0
    return folder / "run"


def predict(run: Path, tracks: Path, out: Path) -> int:
    argv = ["predict-frames", str(run), "--tracks", str(tracks), "--out", str(out), "--name", "m"]
    return main([*argv, "--device", "cpu"])


def names_of(folder: Path) -> list[str]:
    return [path.name for path in TrackFolder(folder).files()] if folder.is_dir() else []


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(bytes(data))


def test_what_is_damaged_or_of_something_else_costs_its_own_predictions_alone(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for video in ("a", "c", "e"):
        write_planted_track(tmp_path / "T", "looks", video)
    write_planted_track(tmp_path / "T", "looks", "b", weights="ef")
    write_planted_track(tmp_path / "T", "looks", "d")
    damage(tmp_path / "T/looks/lab/d.parquet")
    assert predict(run, tmp_path / "T", tmp_path / "P") == 1
    printed = capsys.readouterr()
    assert "b.parquet: is of other weights of looks" in printed.err
    assert "d.parquet: damaged (" in printed.err
    assert "remove it and extract it again" in printed.err, "d is a track that extract wrote"
    assert "3 tracks written (1,200 frames), 0 tracks there already\n  2 tracks without predictions" in printed.out
    assert names_of(tmp_path / "P") == ["a.parquet", "c.parquet", "e.parquet"]
    assert (tmp_path / "P/m/trained_videos.json").is_file()
    assert predict(run, tmp_path / "T", tmp_path / "P") == 1
    assert "0 tracks written (0 frames), 3 tracks there already" in capsys.readouterr().out
    path = tmp_path / "T/looks/lab/a.parquet"
    track = read_track(path)
    path.unlink()
    write_track(path, replace(track, inputs_sha256="ee" * 32))
    assert predict(run, tmp_path / "T", tmp_path / "P") == 1
    printed = capsys.readouterr()
    assert "a.parquet: was predicted from other tracks of lab/a" in printed.err
    assert "2 tracks there already\n  3 tracks without predictions" in printed.out


def test_a_folder_of_another_models_predictions_gets_none(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where only a video that comes late in the order has some, or one that has no track."""
    for video in ("a", "b"):
        write_planted_track(tmp_path / "T", "looks", video)
    write_model(tmp_path / "P", "m", "va", ["z"])
    assert predict(run, tmp_path / "T", tmp_path / "P") == 2
    assert "z.parquet: is of other weights of m" in capsys.readouterr().err
    assert names_of(tmp_path / "P") == ["z.parquet"]
    assert not (tmp_path / "P/m/trained_videos.json").exists()


@pytest.mark.parametrize(("key", "value"), [("task", "expr"), ("model", "temporal_v5")])
def test_a_result_of_another_run_than_the_models_is_refused(
    run: Path, tmp_path: Path, key: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run / "result.json"
    before = result.read_text()
    try:
        result.write_text(json.dumps(json.loads(before) | {key: value}))
        assert predict(run, run.parent / "tracks", tmp_path / "P") == 2
        assert f"result.json: says {key} {value}, and the model in {run}/model has {key} " in capsys.readouterr().err
    finally:
        result.write_text(before)
    assert not (tmp_path / "P").exists()
    assert load_predictor(run, "m").spec.task.name == "va"


def test_predictions_that_are_no_numbers_are_not_written(run: Path, tmp_path: Path) -> None:
    for video in ("a", "b"):
        write_planted_track(tmp_path / "T", "looks", video)

    def diverge(tracks: JoinedTracks) -> Floats:
        predicted = np.zeros((len(tracks.frames_N), 2))
        predicted[7:9, 1] = np.inf if tracks.subject.video_id == "b" else 0
        return predicted

    identity = ExtractorIdentity.from_settings("m", {"task": "va"}, "ab" * 32)
    predictor = RunPredictor(spec=load_predictor(run, "m").spec, identity=identity, predict=diverge)
    report = TrackPrediction(predictor, tmp_path / "T", tmp_path / "P").run(lambda subject: None)
    assert (report.written, report.frames) == (1, 400)
    assert [fault.partition(";")[0] for fault in report.faults] == [
        "lab/b: predictions are nan or infinite in 2 of 400 frames"
    ]
    assert names_of(tmp_path / "P") == ["a.parquet"]


def test_damaged_predictions_are_to_be_predicted_again_and_are(
    tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing extracts predictions."""
    tracks, labels = run.parent / "tracks", run.parent / "labels"
    assert predict(run, tracks, tmp_path / "P") == 0
    path = tmp_path / "P/m/lab/v0.parquet"
    data = path.read_bytes()
    damage(path)
    argv = ["report-frames", "--task", "va", "--predictions", str(tmp_path / "P"), "--labels", str(labels)]
    capsys.readouterr()
    assert main([*argv, "--out", str(tmp_path / "R")]) == 1
    errors = capsys.readouterr().err
    assert "v0.parquet: damaged (" in errors
    assert "remove it, and write it again with the command that wrote it, predict-frames or ensemble-frames" in errors
    assert "extract" not in errors
    assert predict(run, tracks, tmp_path / "P") == 0
    printed = capsys.readouterr()
    assert "; it is written anew" in printed.err
    assert "extract" not in printed.err
    assert f"1 track written (400 frames), {len(VIDEOS) - 1} tracks there already" in printed.out
    assert path.read_bytes() == data


def test_an_ensemble_looks_at_what_stands_there_before_it_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = ["1", "2", "3"]
    for video in videos:
        write_labels(tmp_path / "L", "va", video)
    for name in ("a", "b"):
        write_model(tmp_path / "P", name, "va", videos)
    write_model(tmp_path / "O", "together", "va", ["3"])
    plan = write_plan(tmp_path / "plan.yaml", "va", ["a", "b"])
    argv = ["ensemble-frames", str(plan), "--predictions", str(tmp_path / "P"), "--labels", str(tmp_path / "L")]
    assert main([*argv, "--out", str(tmp_path / "O")]) == 2
    assert "3.parquet: is of other weights of together" in capsys.readouterr().err
    assert names_of(tmp_path / "O") == ["3.parquet"]
    assert main([*argv, "--out", str(tmp_path / "N")]) == 0
    path = TrackFolder(tmp_path / "N").path("together", TrackSubject(source=SOURCE, video_id="2"))
    data = path.read_bytes()
    damage(path)
    assert main([*argv, "--out", str(tmp_path / "N")]) == 0
    assert "; it is written anew" in capsys.readouterr().err
    assert path.read_bytes() == data
