"""Traps of frame-level corpora, each with the test that holds it; those that no other file tries are tried here."""

import ast
from pathlib import Path

import numpy as np
import pytest
from avf_shards.schema.versions import read_json
from avf_training.cli.main import main
from avf_training.framewise.ensemble.folds import grouped_folds
from avf_training.framewise.labels.label_track import list_label_tracks
from avf_training.framewise.labels.tasks import find_task
from support.frame_predictions import make_truth, write_labels, write_predictions

HERE = Path(__file__).parent
TRAPS = {
    "a video without any valid label": (
        "test_frame_labels.py::test_a_video_without_any_valid_label_is_told",
        "test_voice_segments.py::test_a_video_without_any_valid_label_gives_no_segment",
        "test_traps.py::test_a_fold_without_a_valid_label_is_told",
    ),
    "a track with -5 in arousal alone": ("test_traps.py::test_a_frame_without_arousal_counts_for_neither",),
    "6 frames a second, where every frame is read": (
        "test_windows.py::test_the_reader_takes_about_five_frames_a_second",
    ),
    "names that hold others": (
        "test_folds.py::test_suffixes_are_those_of_persons_alone",
        "test_folds.py::test_the_script_of_2022_loses_videos_and_leaks_others",
        "test_traps.py::test_names_that_hold_others_are_other_videos",
    ),
    "a window longer than the video": ("test_windows.py::test_evaluation_windows_reach_the_last_row",),
    "constant predictions": (
        "test_losses.py::test_a_constant_prediction_costs_1_and_its_gradient_is_finite",
        "test_metrics.py::test_a_constant_prediction_scores_0_and_a_constant_truth_is_undefined",
        "test_postprocessing.py::test_smoothing_leaves_a_constant_as_it_is",
    ),
    "a window with a gap": ("test_windows.py::test_training_windows_have_no_gap_and_none_is_repeated",),
    "a clip shorter than 100 frames": ("test_windows.py::test_clips_cover_every_frame_and_padding_is_masked",),
    "sound shorter than 15,600 samples": ("test_extractors.py::test_sound_that_is_too_short_gives_zeros",),
    "absent sound": ("test_voice_segments.py::test_absent_audio_is_zeros",),
    "no open frame": ("test_voice_segments.py::test_no_open_frame_gives_no_segment",),
    "labels longer than the frames": (
        "test_windows.py::test_labels_behind_the_last_frame_repeat_its_picture",
        "test_predictions.py::test_every_label_has_its_own_or_the_prediction_before_it",
    ),
    "halves, which are rounded up": (
        "test_windows.py::test_halves_are_rounded_away_from_zero_and_not_to_even",
        "test_voice_segments.py::test_label_positions_round_halves_up",
    ),
}
"""Trap -> the tests that hold it."""
NAMES = ("1", "10", "10-60-1280x720_right", "10-60-1280x720", "video1", "video10_1")


@pytest.mark.parametrize("trap", TRAPS)
def test_each_trap_has_its_test(trap: str) -> None:
    for test in TRAPS[trap]:
        file, _, name = test.partition("::")
        functions = {node.name for node in ast.parse((HERE / file).read_text()).body if hasattr(node, "name")}
        assert name in functions, test


def test_a_frame_without_arousal_counts_for_neither(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Valence alone is no label, as the challenge counts: in labels, in scores and in the report."""
    folder = tmp_path / "A/VA_Estimation_Challenge/Validation_Set"
    folder.mkdir(parents=True)
    (folder / "half.txt").write_text("valence,arousal\n" + "0.5,-5\n" * 9)
    (folder / "whole.txt").write_text("valence,arousal\n" + "".join(f"0.{n},0.{9 - n}\n" for n in range(9)))
    labels = tmp_path / "L"
    assert main(["frame-labels", str(tmp_path / "A"), "--fps", "30", "--out", str(labels)]) == 0
    valid = {track.subject.video_id: int(track.is_valid.sum()) for track in list_label_tracks(labels, find_task("va"))}
    assert valid == {"half": 0, "whole": 9}
    vectors = {"half": np.full((9, 2), 0.9), "whole": np.array([[n / 10, (9 - n) / 10] for n in range(9)])}
    write_predictions(tmp_path / "P", "m", "va", vectors)
    words = ["report-frames", "--task", "va", "--predictions", str(tmp_path / "P"), "--labels", str(labels)]
    assert main([*words, "--out", str(tmp_path / "R")]) == 0
    report = read_json(tmp_path / "R/va.json", "frame report")
    assert report["models"][0]["frames"] == 9
    assert report["models"][0]["scores"]["valence"] == pytest.approx(1)


def test_names_that_hold_others_are_other_videos(tmp_path: Path) -> None:
    """Each video is scored by its own predictions: they are right, and those of all others are wrong."""
    for name in NAMES:
        write_labels(tmp_path / "L", "va", name)
    write_predictions(tmp_path / "P", "m", "va", {name: make_truth("va", name) for name in NAMES})
    words = ["report-frames", "--task", "va", "--predictions", str(tmp_path / "P"), "--labels", str(tmp_path / "L")]
    assert main([*words, "--out", str(tmp_path / "R")]) == 0
    videos = read_json(tmp_path / "R/va.json", "frame report")["videos"]
    assert {video["video"]: video["score"] for video in videos} == {name: pytest.approx(1) for name in NAMES}
    folds = grouped_folds(dict.fromkeys(NAMES, 100), folds=5).folds
    assert sorted(name for fold in folds for name in fold) == sorted(NAMES), "each in one fold, and none is lost"
    assert ("10-60-1280x720", "10-60-1280x720_right") in folds, "two tracks of one film"


def test_a_fold_without_a_valid_label_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_labels(tmp_path / "L", "va", "a")
    write_labels(tmp_path / "L", "va", "b", values=np.full((9, 2), np.nan))
    words = ["frame-folds", str(tmp_path / "L"), "--task", "va", "--folds", "2", "--out", str(tmp_path / "f.json")]
    assert main(words) == 0
    assert "fold 2 has no frame with a valid label" in caplog.text
