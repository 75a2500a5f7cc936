"""Validation frames without a prediction of their own are scored as report-frames scores them, and are told."""

import json
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from avf_training.cli.main import main
from avf_training.framewise.labels.label_track import list_label_tracks, write_label_track
from avf_training.framewise.labels.tasks import TASKS_OF_FRAMES
from avf_training.framewise.tracks.feature_track import read_track, write_track
from avf_training.framewise.tracks.track_folder import TrackFolder
from avf_training.framewise.training.frame_network import FrameModelSpec, FrameNetwork, load_frame_network
from avf_training.framewise.training.frame_prediction import predict_frames
from avf_training.framewise.training.frame_recipe import FrameRecipe
from avf_training.framewise.training.joined_tracks import JoinedTracks, JoinedTracksReader
from avf_training.framewise.training.labelled_videos import LabelledVideo
from avf_training.framewise.training.validation import (
    Validation,
    count_frames_to_score,
    join_scored,
    predict_scored_frames,
)
from support.planted_tracks import VIDEOS, identity_of, make_planted_labels, write_planted_track

GAP = slice(100, 220)  # rows of each validation video that its track lacks
MISSING_END = 15  # rows that it lacks at its end: less than a second, which training repeats
SMALL = ("visual=[looks]", "window=10", "normalization=standard", "epochs=2", "class_weights=none", "threads=1")


@pytest.fixture(scope="module")
def gapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tracks whose validation videos lack 120 frames in a row and the last ones, and labels of all frames."""
    folder = tmp_path_factory.mktemp("gapped")
    for video, split in VIDEOS.items():
        labels = make_planted_labels("va", video, split)
        write_label_track(folder / "labels", labels)
        write_planted_track(folder / "tracks", "looks", video)
        if split == "validation":
            path = TrackFolder(folder / "tracks").path("looks", labels.subject)
            track = read_track(path)
            rows = np.r_[0 : GAP.start, GAP.stop : len(track.frames_N) - MISSING_END]
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


def train_words(folder: Path, out: Path, model: str, *settings: str) -> list[str]:
    """Return the command that trains on the tracks in a folder."""
    words = [word for setting in (*SMALL, *settings) for word in ("--set", setting)]
    argv = ["--tracks", str(folder / "tracks"), "--labels", str(folder / "labels"), "--task", "va"]
    argv += ["--recipe", "sun_temporal", "--network", model, "--out", str(out), "--device", "cpu", *words]
    return ["train-frames", *argv]


def train(folder: Path, out: Path, model: str, *settings: str) -> dict[str, Any]:
    """Train on the tracks in a folder, and return RUN/result.json."""
    assert main(train_words(folder, out, model, *settings)) == 0
    return dict(json.loads((out / "result.json").read_text()))


def read_videos(folder: Path) -> list[LabelledVideo]:
    """Return the labelled validation videos of a folder."""
    reader = JoinedTracksReader(folder / "tracks", ("looks",), ())
    every = list_label_tracks(folder / "labels", TASKS_OF_FRAMES["va"])
    return [
        LabelledVideo(tracks=reader.read(each.subject), labels=each) for each in every if each.split == "validation"
    ]


def without_rows(tracks: JoinedTracks, rows: slice) -> JoinedTracks:
    """Return tracks that lack some of their rows."""
    rest = np.delete(np.arange(len(tracks.frames_N)), rows)
    return replace(
        tracks,
        frames_N=tracks.frames_N[rest],
        times_s_N=tracks.times_s_N[rest],
        streams=tuple(stream[rest] for stream in tracks.streams),
    )


MODELS = {
    "temporal_v5": (),
    "temporal_v8": ("select=apart", "normalization=video_standard"),
    "fusion_transformer": ("window=50", "hidden=[8,8,4]", "select=apart"),
    "kernel_elm": ("elm={kernels: [linear], penalties: [1.0]}",),
}


@pytest.mark.parametrize("model", MODELS)
def test_the_score_of_training_is_that_of_the_report(
    gapped: Path, tmp_path: Path, model: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of tracks with a gap, whose last pictures are missing, and of values beyond those that labels may have."""
    result = train(gapped, tmp_path / "run", model, *MODELS[model])
    counted = {name: result["validation"][name] for name in ("valid_frames", "scored_frames", "repeated", "left_out")}
    missing = 3 * (GAP.stop - GAP.start + MISSING_END)
    assert counted == {"valid_frames": 1200, "scored_frames": 1200, "repeated": missing, "left_out": 0}
    assert f"{missing} frames of validation have no row in the tracks, and are scored with" in caplog.text
    assert f"{missing} frames of validation without a prediction: with the prediction" in capsys.readouterr().out
    reported = report(gapped, tmp_path)
    assert reported["frames"] == 1200
    if result["select"] == "mean":
        assert result["best"]["score"]["score"] == pytest.approx(reported["scores"]["mean"], abs=1e-9)
    else:
        for name in ("valence", "arousal"):
            assert result["best"][name]["score"] == pytest.approx(reported["scores"][name], abs=1e-9)


def report(folder: Path, out: Path) -> dict[str, Any]:
    """Predict with OUT/run, and return the row of its report."""
    predictions = str(out / "predictions")
    argv = ["predict-frames", str(out / "run"), "--tracks", str(folder / "tracks"), "--out", predictions]
    assert main([*argv, "--device", "cpu"]) == 0
    argv = ["report-frames", "--task", "va", "--predictions", predictions, "--labels", str(folder / "labels")]
    assert main([*argv, "--out", str(out / "report")]) == 0
    (row,) = json.loads((out / "report/va.json").read_text())["models"]
    return dict(row)


def test_values_beyond_those_of_labels_are_limited_before_an_epoch_is_chosen(tmp_path: Path) -> None:
    """In training as in predictions: the last layer of the fusion transformer has no limits."""
    for video, split in VIDEOS.items():
        labels = make_planted_labels("va", video, split)
        extreme = np.where(labels.values_NK > 0, np.float32(1), np.float32(-1))
        write_label_track(tmp_path / "labels", replace(labels, values_NK=extreme))
        write_planted_track(tmp_path / "tracks", "looks", video)
    settings = (*MODELS["fusion_transformer"], "select=mean", "rate=0.02", "epochs=30", "patience=null")
    result = train(tmp_path, tmp_path / "run", "fusion_transformer", *settings)
    network = load_frame_network(tmp_path / "run" / result["best"]["score"]["folder"])
    tracks = JoinedTracksReader(tmp_path / "tracks", ("looks",), ()).read(labels.subject)
    assert np.abs(predict_frames(network, tracks)).max() > 1.05, "or the test says nothing"
    reported = report(tmp_path, tmp_path)
    assert result["best"]["score"]["score"] == pytest.approx(reported["scores"]["mean"], abs=1e-9)


def test_a_missing_frame_has_the_prediction_before_it(gapped: Path) -> None:
    """And before the first row that of the first."""
    (video, *_) = read_videos(gapped)
    video = replace(video, tracks=without_rows(video.tracks, slice(0, 3)))
    counts = count_frames_to_score([video])
    assert (counts.scored_frames, counts.repeated) == (400, GAP.stop - GAP.start + MISSING_END + 3)
    scored = predict_scored_frames(video, lambda tracks: np.stack([tracks.frames_N, tracks.frames_N], 1) / 1000)
    expected = np.arange(1, 401)
    expected[:3], expected[GAP], expected[400 - MISSING_END :] = 4, GAP.start, 400 - MISSING_END
    assert scored.predicted_NO[:, 0] * 1000 == pytest.approx(expected)
    assert np.array_equal(scored.truth_NK, video.labels.values_NK)


def test_the_protocol_of_the_authors_leaves_frames_without_a_row_out(
    gapped: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    counts = train(gapped, tmp_path / "run", "temporal_v5", "protocol=authors_code")["validation"]
    assert counts["repeated"] == 0
    assert counts["scored_frames"] + counts["left_out"] == 240, "each fifth frame"
    assert counts["left_out"] >= 72
    assert f"{counts['left_out']} frames of validation with a valid label have no prediction" in caplog.text


def test_counts_are_of_the_frames_that_a_score_is_of(gapped: Path) -> None:
    identities = {"looks": identity_of("looks")}
    for model, protocol in product(("temporal_v5", "temporal_v6", "temporal_v8"), ("ours", "authors_code")):
        recipe = FrameRecipe(model=model, visual=("looks",), window=10, protocol=protocol, normalization="none")
        spec = FrameModelSpec(recipe=recipe, task=TASKS_OF_FRAMES["va"], identities=identities, widths=(16,))
        network = FrameNetwork(spec).eval()
        validation = Validation(read_videos(gapped), recipe, recipe.options, network.scales())
        scored = join_scored([validation.predict(network, number) for number in range(len(validation))])
        assert validation.counts.scored_frames == len(scored.truth_NK), (model, protocol)
        assert np.isfinite(scored.predicted_NO).all()
        counts = validation.counts
        assert counts.scored_frames + counts.left_out == (1200 if protocol == "ours" else 240)


def test_a_training_that_diverged_is_not_called_constant_labels(
    gapped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rate without bounds makes the weights infinite before the steps without a finite loss are too many."""
    settings = ("rate=1e35", "warmup_steps=0", "schedule=constant", "epochs=1", "clip_norm=null")
    for train_on in ("train", "all"):
        argv = train_words(gapped, tmp_path / train_on, "temporal_v5", *settings, f"train_on={train_on}")
        assert main(argv) == 2
        errors = capsys.readouterr().err
        assert "no score: predictions are nan or infinite in 1,200 of 1,200 frames of validation" in errors
        assert "in 1,200 of 1,200 frames, so the training has diverged; take a lower rate" in errors
        assert "constant" not in errors
        assert "damaged" not in errors
        assert not (tmp_path / train_on / "result.json").exists()


def test_steps_without_a_finite_loss_are_a_training_that_diverged(
    gapped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ("rate=1e35", "warmup_steps=0", "schedule=constant", "epochs=9", "clip_norm=null", "nonfinite_limit=3")
    assert main(train_words(gapped, tmp_path / "run", "temporal_v5", *settings)) == 2
    errors = capsys.readouterr().err
    assert "3 steps in a row have no finite loss, up to step 3: the training has diverged; take a lower rate" in errors
    assert "damaged" not in errors


@pytest.mark.parametrize("model", ["temporal_v5", "kernel_elm"])
def test_labels_that_are_constant_are_named(
    gapped: Path, tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(gapped / "tracks", tmp_path / "tracks")
    for labels in list_label_tracks(gapped / "labels", TASKS_OF_FRAMES["va"]):
        values = labels.values_NK.copy()
        if labels.split == "validation":
            values[:, 1] = 0.25
        write_label_track(tmp_path / "labels", replace(labels, values_NK=values))
    assert main(train_words(tmp_path, tmp_path / "run", model)) == 2
    assert "has a validation score: arousal: the target is constant (0.25)" in capsys.readouterr().err
