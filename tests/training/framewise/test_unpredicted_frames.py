"""Validation frames without a prediction of their own are scored as report-frames scores them, and are told."""

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from avf_training.cli.main import main
from avf_training.framewise.labels.label_track import list_label_tracks, write_label_track
from avf_training.framewise.labels.tasks import TASKS_OF_FRAMES
from avf_training.framewise.postprocessing.overlaps import merge_overlaps
from avf_training.framewise.protocol import choose_protocol
from avf_training.framewise.tracks.feature_track import read_track, write_track
from avf_training.framewise.tracks.track_folder import TrackFolder
from avf_training.framewise.training.frame_recipe import FrameRecipe
from avf_training.framewise.training.joined_tracks import JoinedTracksReader
from avf_training.framewise.training.unpredicted_frames import (
    FramesWithoutRow,
    count_validation,
    join_predictions,
    list_frames_without_row,
)
from avf_training.framewise.training.window_data import (
    RowsOfVideo,
    choose_rows,
    cut_evaluation_windows,
    predicted_positions,
)
from support.planted_tracks import VIDEOS, make_planted_labels, write_planted_track

GAP = slice(100, 220)  # rows of each validation video that its track lacks
SMALL = ("visual=[looks]", "window=10", "normalization=standard", "epochs=2", "class_weights=none", "threads=1")


@pytest.fixture(scope="module")
def gapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tracks whose validation videos lack 120 frames in a row, and labels of all frames."""
    folder = tmp_path_factory.mktemp("gapped")
    for video, split in VIDEOS.items():
        labels = make_planted_labels("va", video, split)
        write_label_track(folder / "labels", labels)
        write_planted_track(folder / "tracks", "looks", video)
        if split == "validation":
            path = TrackFolder(folder / "tracks").path("looks", labels.subject)
            track = read_track(path)
            rows = np.r_[0 : GAP.start, GAP.stop : len(track.frames_N)]
            path.unlink()
            write_track(
                path,
                replace(
                    track,
                    frames_N=track.frames_N[rows],
                    times_s_N=track.times_s_N[rows],
                    vectors_ND=track.vectors_ND[rows],
                ),
            )
    return folder


def train(folder: Path, out: Path, model: str, *settings: str) -> dict[str, object]:
    """Train on the tracks in a folder, and return RUN/result.json."""
    words = [word for setting in (*SMALL, *settings) for word in ("--set", setting)]
    argv = ["--tracks", str(folder / "tracks"), "--labels", str(folder / "labels"), "--task", "va"]
    argv += ["--recipe", "sun_temporal", "--network", model, "--out", str(out), "--device", "cpu", *words]
    assert main(["train-frames", *argv]) == 0
    return dict(json.loads((out / "result.json").read_text()))


def test_the_score_of_training_is_that_of_the_report(
    gapped: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = train(gapped, tmp_path / "run", "kernel_elm", "elm={kernels: [linear], penalties: [1.0]}")
    assert "360 frames of validation have no row in the tracks, and are scored with" in caplog.text
    validation = result["validation"]
    assert isinstance(validation, dict)
    assert (validation["valid_frames"], validation["scored_frames"], validation["repeated"]) == (1200, 1200, 360)
    predictions = str(tmp_path / "predictions")
    argv = ["predict-frames", str(tmp_path / "run"), "--tracks", str(gapped / "tracks"), "--out", predictions]
    assert main([*argv, "--device", "cpu"]) == 0
    argv = ["report-frames", "--task", "va", "--predictions", predictions, "--labels", str(gapped / "labels")]
    assert main([*argv, "--out", str(tmp_path / "report")]) == 0
    (reported,) = json.loads((tmp_path / "report/va.json").read_text())["models"]
    best = result["best"]
    assert isinstance(best, dict)
    assert best["score"]["score"] == pytest.approx(reported["scores"]["mean"], abs=1e-5)


def test_models_of_five_rows_a_second_score_every_so_many_missing_frames(
    gapped: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    result = train(gapped, tmp_path / "run", "temporal_v5")
    assert result["validation"] == {
        "videos": 3,
        "valid_frames": 1200,
        "scored_frames": 240,  # each fifth
        "repeated": 72,
        "left_out": 0,
    }
    assert "72 frames of validation have no row in the tracks" in caplog.text
    assert "72 frames of validation without a prediction: with the prediction" in capsys.readouterr().out
    caplog.clear()
    authors = train(gapped, tmp_path / "authors", "temporal_v5", "protocol=authors_code")["validation"]
    assert isinstance(authors, dict)
    assert authors["repeated"] == 0
    assert authors["scored_frames"] + authors["left_out"] == 240
    assert authors["left_out"] >= 72
    assert f"{authors['left_out']} frames of validation with a valid label have no prediction" in caplog.text


def test_a_missing_frame_has_the_prediction_before_it_and_a_row_between_two_their_line() -> None:
    labels = replace(make_planted_labels("va", "v0", "validation"), task=TASKS_OF_FRAMES["va"])
    video = RowsOfVideo(
        labels=labels,
        streams=(),
        rows_N=np.arange(4),
        frames_N=np.array([6, 11, 16, 41]),
        values_NK=np.zeros((4, 2), np.float32),
    )
    missing = FramesWithoutRow(frames_M=np.array([1, 21, 46]), values_MK=np.ones((3, 2), np.float32))
    predicted_N2 = np.array([[0.2, 0.2], [np.nan, np.nan], [0.4, 0.4], [0.9, 0.9]])
    truth, predicted = join_predictions(video, missing, predicted_N2, choose_protocol("ours"))
    assert truth[:, 0].tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert predicted[:, 0] == pytest.approx([0.2, 0.3, 0.4, 0.9, 0.2, 0.4, 0.9])
    truth, predicted = join_predictions(video, missing, predicted_N2, choose_protocol("authors_code"))
    assert truth[:, 0].tolist() == [0, 0, 0]
    assert predicted[:, 0].tolist() == [0.2, 0.4, 0.9], "the released code scores only what it predicts"


def test_counts_are_of_the_frames_that_a_score_is_of(gapped: Path) -> None:
    tracks = JoinedTracksReader(gapped / "tracks", ("looks",), ())
    for model, protocol in product(("temporal_v5", "temporal_v6", "temporal_v8"), ("ours", "authors_code")):
        recipe = FrameRecipe(model=model, visual=("looks",), window=10, protocol=protocol)
        videos, missing, scored = [], [], 0
        for labels in list_label_tracks(gapped / "labels", TASKS_OF_FRAMES["va"]):
            joined = tracks.read(labels.subject)
            videos.append(choose_rows(joined, labels, recipe))
            missing.append(list_frames_without_row(joined, labels, every=False))
            windows = cut_evaluation_windows(videos[-1].frames_N, recipe, recipe.options)
            positions = predicted_positions(model, windows.rows_VT.shape[1])
            outputs = np.ones((len(windows.rows_VT), len(positions), 2))
            valid = windows.valid_VT[:, positions]
            rows, _ = merge_overlaps(outputs, windows.rows_VT[:, positions], len(videos[-1].frames_N), valid_KT=valid)
            scored += len(join_predictions(videos[-1], missing[-1], rows, recipe.options)[0])
        counts = count_validation(videos, missing, recipe, recipe.options)
        assert counts.scored_frames == scored, (model, protocol)
        assert counts.scored_frames + counts.left_out == 9 * 80
