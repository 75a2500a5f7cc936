"""Sequence models learn a planted signal on unseen videos, go on after a stop with the same bits, and name faults."""

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from avf_training.cli.main import main
from avf_training.framewise.labels.label_track import label_path, list_label_tracks, write_label_track
from avf_training.framewise.labels.tasks import find_task
from avf_training.framewise.tracks.feature_track import read_track
from avf_training.framewise.tracks.track_folder import TrackFolder
from avf_training.framewise.training import frame_objective
from avf_training.framewise.training.frame_scores import score_frames
from support.planted_tracks import VIDEOS, make_planted_labels, write_planted_corpus, write_planted_track

SMALL = (
    *("batch=8", "epochs=12", "patience=null", "rate=0.003", "warmup_steps=4", "lowest_rate=0.0005", "threads=1"),
    *("visual=[looks]", "window=10", "normalization=standard", "evaluate_every=4", "class_weights=none"),
)
FUSION = ("visual=[looks,more_looks]", "audio=[sounds]", "window=50", "hidden=[16,16,8]", "schedule=constant")
CROSSED = ("visual=[looks,more_looks]", "audio=[sounds]", "schedule=constant", "epochs=4")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of tracks and of labels."""
    return write_planted_corpus(tmp_path_factory.mktemp("planted"))


def train(
    corpus: tuple[Path, Path], out: Path, task: str, model: str, *settings: str, recipe: str = "sun_temporal"
) -> int:
    words = [word for setting in (*SMALL, *settings) for word in ("--set", setting)]
    argv = ["--tracks", str(corpus[0]), "--labels", str(corpus[1]), "--task", task, "--recipe", recipe]
    return main(["train-frames", *argv, "--network", model, "--out", str(out), "--device", "cpu", *words])


def predict(corpus: tuple[Path, Path], run: Path, out: Path, *words: str) -> int:
    return main(["predict-frames", str(run), "--tracks", str(corpus[0]), "--out", str(out), "--device", "cpu", *words])


def score_of_predictions(corpus: tuple[Path, Path], out: Path, name: str, task: str) -> float:
    """Score of predictions of all frames of the videos that were not trained on, by the labels."""
    truth, predicted = [], []
    for labels in list_label_tracks(corpus[1], task):
        if labels.split == "validation":
            track = read_track(TrackFolder(out).path(name, labels.subject))
            assert track.frames_N.tolist() == labels.frames_N.tolist()
            truth.append(labels.values_NK.astype(np.float64))
            predicted.append(track.vectors_ND.astype(np.float64))
    return score_frames(find_task(task), np.concatenate(truth), np.concatenate(predicted))[find_task(task).metric]


@pytest.mark.parametrize(
    ("model", "task", "settings"),
    [
        ("temporal", "va", ("select=apart", "epochs=8")),
        ("temporal_v1", "va", ("epochs=6",)),
        ("temporal_v4", "va", ()),
        ("temporal_v5", "au", ()),
        pytest.param("temporal_v6", "va", (), marks=pytest.mark.slow),
        ("temporal_v7", "va", ()),
        pytest.param("temporal_v8", "va", (), marks=pytest.mark.slow),
        pytest.param(
            "temporal_v3",
            "expr",
            ("class_weights=training_set", "expression_loss=focal", "epochs=24"),
            marks=pytest.mark.slow,
        ),
        ("fusion_transformer", "va", FUSION),
        pytest.param("fusion_transformer", "au", (*FUSION, "epochs=24"), marks=pytest.mark.slow),
        ("cross_attention", "va", CROSSED),
        ("kernel_elm", "va", ("elm={kernels: [rbf, linear]}", "select=apart")),
        ("kernel_elm", "expr", ()),
        ("kernel_elm", "au", ()),
    ],
)
def test_each_model_learns_on_videos_never_seen(
    corpus: tuple[Path, Path], tmp_path: Path, model: str, task: str, settings: tuple[str, ...]
) -> None:
    run = tmp_path / "run"
    assert train(corpus, run, task, model, *settings) == 0
    result = json.loads((run / "result.json").read_text())
    # The mean predictor has a CCC of 0; always or never one class scores below 0.06 over eight, 0.56 for units.
    floor = {"va": 0.4, "expr": 0.25, "au": 0.6}[task]
    assert result["best"]["score"]["score"] > floor
    assert predict(corpus, run, tmp_path / "predictions") == 0
    assert score_of_predictions(corpus, tmp_path / "predictions", "run", task) > floor
    track = read_track(TrackFolder(tmp_path / "predictions").files()[0], width=find_task(task).outputs)
    assert json.loads(track.extractor.settings)["task"] == task
    before = {path: path.read_bytes() for path in TrackFolder(tmp_path / "predictions").files()}
    assert len(before) == len(VIDEOS)
    assert predict(corpus, run, tmp_path / "predictions") == 0, "what stands there is left"
    assert {path: path.read_bytes() for path in TrackFolder(tmp_path / "predictions").files()} == before


def test_a_run_that_is_stopped_goes_on_with_the_same_bits(
    corpus: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ("epochs=6", "evaluate_every=2")
    assert train(corpus, tmp_path / "whole", "va", "temporal_v5", *settings) == 0
    calls, loss = [0], frame_objective.valence_arousal_loss

    def stop_once(*values: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == 30:
            signal.raise_signal(signal.SIGTERM)
        return loss(*values, **named)

    monkeypatch.setattr(frame_objective, "valence_arousal_loss", stop_once)
    assert train(corpus, tmp_path / "run", "va", "temporal_v5", *settings) == 0
    assert not (tmp_path / "run/result.json").exists()
    assert len((tmp_path / "run/metrics.jsonl").read_text().splitlines()) == 30
    # What a kill leaves behind the newest checkpoint: a model whose row was not written.
    shutil.copytree(next((tmp_path / "run/best").glob("score-*")), tmp_path / "run/best/score-99999999")
    assert train(corpus, tmp_path / "run", "va", "temporal_v5", *settings) == 0
    for name in ("metrics.jsonl", "evaluation.jsonl", "result.json", "model/model.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    best = json.loads((tmp_path / "run/result.json").read_text())["best"]
    for each in best.values():
        weights = Path(each["folder"]) / "model.safetensors"
        assert (tmp_path / "run" / weights).read_bytes() == (tmp_path / "whole" / weights).read_bytes()
    before = (tmp_path / "run/result.json").read_bytes()
    assert train(corpus, tmp_path / "run", "va", "temporal_v5", *settings) == 0, "a finished run stays"
    assert (tmp_path / "run/result.json").read_bytes() == before
    assert train(corpus, tmp_path / "run", "va", "temporal_v5", *settings, "seed=9") == 2, "another run is refused"


def test_patience_ends_a_run_whose_scores_do_not_rise(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    settings = ("rate=1e-30", "lowest_rate=0", "patience=2", "epochs=50", "evaluate_every=1", "schedule=constant")
    assert train(corpus, tmp_path / "run", "va", "temporal_v5", *settings) == 0
    rows = [json.loads(line) for line in (tmp_path / "run/evaluation.jsonl").read_text().splitlines()]
    assert 3 <= len(rows) < 10
    assert (tmp_path / "run/model").is_dir()


def test_the_protocol_reaches_what_it_changes_and_is_told(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    settings = (*FUSION[:-1], "protocol=authors_code", "protocol_options={fusion_head: linear}", "epochs=3")
    assert train(corpus, tmp_path / "run", "va", "fusion_transformer", *settings) == 0
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["protocol"] == "authors_code"
    assert len(result["differences"]) == 32
    ran = {row["option"]: (row["value"], row["chosen"]) for row in result["differences"]}
    assert ran["clamp_in_loss"] == ("yes", "authors_code")
    assert ran["fusion_head"] == ("linear", "other")
    rates = [json.loads(line)["lr"] for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert sorted(set(rates), reverse=True) == pytest.approx([5e-5, 3e-5, 1e-5]), "a triangle over epochs"
    config = json.loads((tmp_path / "run/model/config.json").read_text())
    assert config["model"]["recipe"]["protocol"] == "authors_code"


def test_the_layer_of_a_temporal_model_becomes_tracks(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    assert train(corpus, tmp_path / "run", "va", "temporal_v5", "epochs=2") == 0
    assert predict(corpus, tmp_path / "run", tmp_path / "layers", "--layer", "arousal", "--name", "arousal_layer") == 0
    track = read_track(TrackFolder(tmp_path / "layers").files()[0], width=16)
    assert track.extractor.name == "arousal_layer"
    assert "task" not in json.loads(track.extractor.settings), "a layer is no prediction"


def copy_corpus(corpus: tuple[Path, Path], folder: Path) -> tuple[Path, Path]:
    copies = folder / "tracks", folder / "labels"
    for source, copy in zip(corpus, copies, strict=True):
        shutil.copytree(source, copy)
    return copies


def test_bad_input_is_named(
    corpus: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    tracks, labels = corpus = copy_corpus(corpus, tmp_path)
    run = tmp_path / "run"
    for video in VIDEOS:
        write_planted_track(tracks, "odd", video)

    def refuse(message: str, *settings: str, model: str = "temporal_v5", task: str = "va") -> None:
        assert train(corpus, run, task, model, *settings) == 2
        assert message in capsys.readouterr().err
        assert not run.exists(), "a refused start leaves no folder"

    refuse("`predict-frames --layer LAYER --name nothing` writes it\n  and 4 more", "visual=[nothing]")
    refuse("window 12 must be whole seconds of 5 rows", "window=12", model="temporal_v6")
    refuse("visual of cross_attention is two tracks", "audio=[sounds]", model="cross_attention")
    refuse("protocol: no option 'foo'", "protocol_options={foo: 1}")
    refuse("no window of 300 rows without a gap fits into a training video", "window=300")
    refuse("temporal_v5 cannot be made for tracks of 20 values", "visual=[odd]")
    missing = tracks / "looks/lab/t0.parquet"
    stored = missing.read_bytes()
    missing.unlink()
    refuse("1 labelled video without a track; extract them, or leave them out with --set missing_tracks=skip")
    write_planted_track(tracks, "looks", "t0", weights="ef")
    refuse("is of other weights of looks")
    missing.unlink()
    write_planted_track(tracks, "looks", "t0", fps=30.0)
    refuse("25 frames a second in the labels of lab/t0, and 30 in its tracks; write both with the same --fps")
    missing.write_bytes(stored)
    path = label_path(labels, find_task("va"), make_planted_labels("va", "t0", "train").subject)
    path.unlink()
    write_label_track(labels, replace(make_planted_labels("va", "t0", "train"), frames_N=np.arange(4001, 4401)))
    refuse("lab/t0: labels are of the frames 4001 to 4400, tracks of 1 to 400; none has both")
    path.unlink()
    blank = make_planted_labels("va", "t0", "train")
    write_label_track(labels, replace(blank, values_NK=np.full_like(blank.values_NK, np.nan)))
    caplog.clear()
    assert train(corpus, run, "va", "temporal_v5", "epochs=2") == 0, "a video without any valid label is left out"
    assert "lab/t0: no frame has a valid label" in caplog.text
    result = json.loads((run / "result.json").read_text())
    assert result["training"]["videos"] == 5
    assert result["skipped"] == ["lab/t0: no frame has a valid label"]


def test_every_damaged_track_is_named(
    corpus: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracks, labels = corpus = copy_corpus(corpus, tmp_path)
    run = tmp_path / "run"
    words = ("missing_tracks=skip", "audio=[sounds]")

    def refused() -> str:
        assert train(corpus, run, "va", "temporal_v5", *words) == 1
        assert not run.exists(), "a refused start leaves no folder"
        return capsys.readouterr().err

    (tracks / "looks/lab/t0.parquet").write_bytes(b"cut off")
    assert "looks/lab/t0.parquet" in refused()
    (tracks / "sounds/lab/t0.parquet").write_bytes(b"cut off")
    (tracks / "sounds/lab/v1.parquet").write_bytes(b"")
    text = refused()
    assert "3 files cannot be read:" in text
    assert all(name in text for name in ("looks/lab/t0.parquet", "sounds/lab/t0.parquet", "sounds/lab/v1.parquet"))
    for path in labels.glob("va/lab/*.parquet"):
        path.write_bytes(b"cut off")
    text = refused()
    assert f"{len(VIDEOS)} files cannot be read:\n" in text
    assert f"\n  and {len(VIDEOS) - 5} more" in text


def test_a_class_that_no_training_frame_has_is_told(
    corpus: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracks, labels = copy_corpus(corpus, tmp_path)
    for track in list(list_label_tracks(labels, "expr")):
        label_path(labels, track.task, track.subject).unlink()
        values = np.where(track.values_NK == 3, np.float32(np.nan), track.values_NK)
        write_label_track(labels, replace(track, values_NK=values))
    run = tmp_path / "run"
    assert train((tracks, labels), run, "expr", "temporal_v5", "epochs=2", "class_weights=training_set") == 0
    assert "no training frame of Fear: the model cannot learn it" in caplog.text
    assert json.loads((run / "result.json").read_text())["absent_classes"] == ["Fear"]


def test_predictions_of_other_tracks_or_weights_are_refused(
    corpus: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert train(corpus, run, "va", "temporal_v5", "epochs=2") == 0
    other = tmp_path / "other"
    write_planted_track(other, "looks", "x", weights="ef")
    assert predict((other, corpus[1]), run, tmp_path / "p") == 1
    assert "is of other weights of looks" in capsys.readouterr().err
    assert predict(corpus, tmp_path / "labels", tmp_path / "p") == 2
    (tmp_path / "labels").mkdir()
    assert predict(corpus, tmp_path / "labels", tmp_path / "p") == 2
    assert "is no finished run of `avf-train train-frames`" in capsys.readouterr().err
    assert predict(corpus, run, tmp_path / "p", "--layer", "valence") == 0
    weights = next((run / "best").glob("valence-*")) / "config.json"
    values = json.loads(weights.read_text())
    values["model"]["widths"] = [24]
    weights.write_text(json.dumps(values))
    assert predict(corpus, run, tmp_path / "q") == 2
    assert "does not fit the model" in capsys.readouterr().err


def test_folds_keep_groups_together_and_need_no_sets(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    tracks, labels = copy_corpus(corpus, tmp_path)
    for number, track in enumerate(list(list_label_tracks(labels, "va"))):
        label_path(labels, track.task, track.subject).unlink()
        write_label_track(labels, replace(track, split=None, group=f"g{number // 2}"))
    held_out = []
    for fold in (1, 2):
        run = tmp_path / f"run{fold}"
        assert train((tracks, labels), run, "va", "kernel_elm", f"fold={fold}") == 0
        held_out.append(json.loads((run / "result.json").read_text())["validation"]["videos"])
    assert set(held_out) <= {1, 2}, "the two videos of a group are on one side"


def test_all_labelled_videos_may_be_trained_on_and_the_last_step_is_taken(
    corpus: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracks, labels = copy_corpus(corpus, tmp_path)
    write_planted_track(tracks, "looks", "nobody")
    assert train((tracks, labels), tmp_path / "run", "va", "temporal_v5", "epochs=2", "train_on=all") == 0
    printed = capsys.readouterr().out
    assert "of videos that were trained on" in printed
    assert "1 track has no labels" in printed
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert (result["training"]["videos"], result["validation"]["videos"]) == (9, 3)
    assert result["best"].keys() == {"score"}
    assert result["best"]["score"]["folder"] == "model"
    assert result["tracks_without_labels"] == ["lab/nobody.parquet"]
    assert predict((tracks, labels), tmp_path / "run", tmp_path / "predictions") == 0
    assert train((tracks, labels), tmp_path / "two", "va", "temporal_v5", "fold=1", "train_on=all") == 2
    assert "train_on all leaves no video to choose by" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("temporal_v5", ("epochs=2", "evaluate_every=1", "patience=1")),
        ("temporal_v5", ("epochs=2", "evaluate_every=1", "train_on=all")),
        ("kernel_elm", ("elm={penalties: [0.01, 1, 100]}", "fold=1")),
    ],
)
def test_labels_of_the_test_set_change_no_weight_choice_or_prediction(
    corpus: tuple[Path, Path], tmp_path: Path, model: str, settings: tuple[str, ...]
) -> None:
    """The true labels, and noise in their place: weights, scales, best epoch or C, and predictions are the same."""
    tracks, labels = copy_corpus(corpus, tmp_path)
    for video in ("tested", "tried"):
        write_planted_track(tracks, "looks", video)
    runs = []
    for kind in ("true", "noise"):
        folder = tmp_path / kind
        shutil.copytree(labels, folder / "labels")
        for number, video in enumerate(("tested", "tried")):
            track = make_planted_labels("va", video, "test")
            noise_NK = np.random.default_rng(number).uniform(-1, 1, track.values_NK.shape).astype(np.float32)
            write_label_track(folder / "labels", replace(track, values_NK=noise_NK) if kind == "noise" else track)
        data = tracks, folder / "labels"
        assert train(data, folder / "run", "va", model, *settings) == 0
        assert predict(data, folder / "run", folder / "predictions") == 0
        predicted = {path.name: path.read_bytes() for path in TrackFolder(folder / "predictions").files()}
        assert len(predicted) == len(VIDEOS) + 2
        runs.append(((folder / "run/result.json").read_bytes(), predicted))
    assert runs[0] == runs[1]


def test_a_scene_may_be_trained_on_alone(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    tracks, labels = copy_corpus(corpus, tmp_path)
    for track in list(list_label_tracks(labels, "va")):
        label_path(labels, track.task, track.subject).unlink()
        scene = "reaction" if track.subject.video_id in ("t0", "t1", "v0") else "other"
        write_label_track(labels, replace(track, scene=scene))
    assert train((tracks, labels), tmp_path / "run", "va", "kernel_elm", "scene=reaction") == 0
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert (result["training"]["videos"], result["validation"]["videos"]) == (2, 1)
