"""Predictions of frames: their likelihoods and answers, their join with labels, their scores, and the submission."""

import json
from pathlib import Path

import numpy as np
import pytest
from avf_shards.errors import UserError
from avf_training.cli.main import main
from avf_training.framewise.labels.tasks import TASKS_OF_FRAMES, find_task
from avf_training.framewise.metrics import score_action_units, score_expressions, score_valence_arousal
from avf_training.framewise.predictions import frame_statistics as statistics
from avf_training.framewise.predictions.likelihoods import to_answers, to_likelihoods, to_vectors
from avf_training.framewise.predictions.prediction_set import read_prediction_set
from avf_training.framewise.predictions.truth_join import join_video, scored_truth
from avf_training.framewise.submission import HEADERS, read_submission
from avf_training.framewise.tracks.identity import TrackSubject
from hypothesis import given
from hypothesis import strategies as st
from support.frame_predictions import (
    SOURCE,
    make_labels,
    make_prediction,
    make_truth,
    make_vectors,
    write_model,
    write_predictions,
)

TASKS = st.sampled_from(sorted(TASKS_OF_FRAMES))


@given(name=TASKS, seed=st.integers(0, 100), scale=st.sampled_from([0.1, 1.0, 50.0]))
def test_vectors_and_likelihoods_are_inverse(name: str, seed: int, scale: float) -> None:
    task = find_task(name)
    vectors = np.random.default_rng(seed).normal(scale=scale, size=(20, task.outputs))
    likelihoods = to_likelihoods(task, vectors)
    assert (np.abs(likelihoods) <= 1).all()
    stored = to_likelihoods(task, to_vectors(task, likelihoods))
    np.testing.assert_allclose(stored, likelihoods, atol=1e-6)
    if name == "expr":
        np.testing.assert_allclose(likelihoods.sum(1), 1)
        assert (to_answers(task, likelihoods)[:, 0] == vectors.argmax(1)).all()
    if name == "au":
        assert (to_answers(task, likelihoods) == (vectors >= 0)).all()


@given(name=TASKS, seed=st.integers(0, 100), cuts=st.sets(st.integers(1, 89), max_size=5))
def test_scores_of_merged_videos_are_the_official_ones(name: str, seed: int, cuts: set[int]) -> None:
    """Also with invalid labels, classes that are absent, and videos without a valid frame."""
    task = find_task(name)
    random = np.random.default_rng(seed)
    truth = make_truth(name, "v", 90).astype(np.float32)
    likelihoods = to_likelihoods(task, make_vectors(name, truth, 0.3, seed))
    truth[random.random(truth.shape) < 0.05] = np.nan
    bounds = [0, *sorted(cuts), 90]
    rows = [
        statistics.count_frames(task, truth[start:stop], likelihoods[start:stop])
        for start, stop in zip(bounds, bounds[1:], strict=False)
    ]
    rows.append(statistics.count_frames(task, np.full_like(truth, np.nan), likelihoods))
    merged = statistics.merge_statistics(task, np.stack(rows))
    scores = statistics.list_values(statistics.score_statistics(task, merged))
    if name == "va":
        official = score_valence_arousal(truth.astype(np.float64), likelihoods)
        expected = [official.valence.value, official.arousal.value, official.mean.value]
        frames = official.frames
    else:
        classes_NK = np.where(np.isnan(truth), -1, truth).astype(np.int64)
        if name == "expr":
            f1 = score_expressions(classes_NK[:, 0], likelihoods.argmax(1))
        else:
            f1 = score_action_units(classes_NK, likelihoods)
        expected, frames = [*f1.each, f1.mean.value], f1.frames
    np.testing.assert_allclose(list(scores.values()), expected, atol=1e-12)
    assert statistics.count_valid(task, merged) == frames


def test_without_a_valid_label_there_is_no_score_and_a_constant_truth_has_no_ccc() -> None:
    task = find_task("va")
    nothing = statistics.count_frames(task, np.full((5, 2), np.nan, np.float32), np.zeros((5, 2)))
    score = statistics.score_statistics(task, statistics.merge_statistics(task, nothing[None]))
    assert score["mean"].value is None
    flat = statistics.count_frames(task, np.full((5, 2), 0.3, np.float32), np.random.default_rng(0).random((5, 2)))
    assert "constant" in statistics.score_statistics(task, flat)["mean"].undefined


def test_an_interval_needs_five_people_and_holds_the_score() -> None:
    task = find_task("expr")
    rows = [
        statistics.count_frames(
            task, make_truth("expr", f"v{n}").astype(np.float32),
            to_likelihoods(task, make_vectors("expr", make_truth("expr", f"v{n}"), 0.4, n)),
        )
        for n in range(8)
    ]  # fmt: skip
    scored = statistics.score_with_intervals(task, np.stack(rows), [f"p{n}" for n in range(8)])["mean"]
    assert scored.score.value is not None
    assert scored.interval.low is not None
    assert scored.interval.high is not None
    assert scored.interval.low < scored.score.value < scored.interval.high
    few = statistics.score_with_intervals(task, np.stack(rows), ["a", "a", "b", "b", "c", "c", "d", "d"])["mean"]
    assert few.interval.reason == "too few: 4 people or files, 5 are needed"


@given(
    asked=st.sets(st.integers(1, 60), min_size=1),
    known=st.sets(st.integers(1, 60), min_size=1),
    leave_out=st.booleans(),
)
def test_every_label_has_its_own_or_the_prediction_before_it(asked: set[int], known: set[int], leave_out: bool) -> None:
    frames, known_N = np.array(sorted(asked)), np.array(sorted(known))
    labels = make_labels("va", "v", frames_N=frames, times_s_N=frames / 30, values=np.zeros((len(frames), 2)))
    track = make_prediction("m", "va", "v", np.stack([known_N / 100, known_N / 100], 1), frames_N=known_N)
    joined = join_video(labels, track, "leave_out" if leave_out else "repeat")
    behind = {frame for frame in asked if frame > max(known)} if leave_out else set()
    assert (joined.own, joined.left_out) == (len(asked & known), len(behind))
    assert joined.repeated == len(asked - known - behind)
    assert joined.unlabelled == len(known - asked)
    gaps = [frame - max((each for each in known if each <= frame), default=min(known)) for frame in asked - behind]
    assert joined.longest_gap_s == pytest.approx(max(map(abs, gaps), default=0) / track.fps)
    for frame, value in zip(frames, joined.likelihoods_ND[:, 0], strict=True):
        earlier = [each for each in known if each <= frame]
        expected = np.nan if frame in behind else (max(earlier) if earlier else min(known)) / 100
        np.testing.assert_allclose(value, expected, atol=1e-7)
    assert len(scored_truth(joined)[0]) == joined.own + joined.repeated


def write_sample(path: Path, task: str, rows: list[str]) -> Path:
    header = HEADERS[find_task(task).record_name]  # type: ignore[index]  # of the challenge's three tasks
    path.write_text("\n".join([header.upper(), *rows]) + "\n")
    return path


@pytest.mark.parametrize(("task", "spelling"), [("va", "valence_arousal"), ("expr", "EXPR"), ("au", "action_units")])
def test_a_submission_has_every_row_of_the_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str, spelling: str
) -> None:
    write_model(tmp_path / "P", "m", task, ["10", "1"], frames=5)
    rows = [f"{video}/{frame:05d}.jpg," for video in ("1", "10") for frame in range(1, 8)]
    sample, out = write_sample(tmp_path / "s.txt", task, rows), tmp_path / "o.txt"
    options = ["submission", "--task", spelling, "--predictions", str(tmp_path / "P"), "--sample", str(sample)]
    assert main([*options, "--out", str(out)]) == 0
    output = capsys.readouterr().out
    assert "1: 7 rows, 2 repeated at the end" in output
    assert f"{out}: 14 rows of 2 videos, 4 repeated, 0 videos without a prediction" in output
    written, values = read_submission(out)
    assert out.read_text().splitlines()[0] == HEADERS[written]
    assert [f"{image}," for image in values] == rows
    predictions = read_prediction_set(tmp_path / "P", "m", find_task(task))
    track = predictions.tracks[TrackSubject(source=SOURCE, video_id="10")]
    expected = to_answers(find_task(task), to_likelihoods(find_task(task), track.vectors_ND))
    for image, row in values.items():
        if image.video == "10":
            np.testing.assert_allclose(row, expected[min(image.frame, 5) - 1], atol=1e-6)


def test_a_video_without_predictions_is_refused_or_gets_the_typical_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    classes = np.eye(8)[[4, 4, 2]]
    write_predictions(tmp_path / "P", "m", "expr", {"a": classes})
    sample = write_sample(tmp_path / "s.txt", "expr", ["a/00001.jpg,", "b/00001.jpg,", "b/00002.jpg,"])
    options = ["submission", "--task", "expr", "--predictions", str(tmp_path / "P"), "--sample", str(sample)]
    options += ["--out", str(tmp_path / "o.txt")]
    assert main(options) == 2
    assert "video b: 2 rows of the official list and no prediction" in caplog.text
    assert not (tmp_path / "o.txt").exists()
    capsys.readouterr()
    assert main([*options, "--missing-videos", "typical", "--json", "-"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["typical"] == ["b"]
    _, values = read_submission(tmp_path / "o.txt")
    assert [int(row[0]) for row in values.values()] == [4, 4, 4]


@pytest.mark.parametrize(
    ("task", "name", "message"),
    [
        ("va", "m", "has predictions of expr, not of va"),
        ("expr", "nono", "has no predictions of 'nono'; it has those of m"),
    ],
)
def test_predictions_of_something_else_are_refused(tmp_path: Path, task: str, name: str, message: str) -> None:
    write_model(tmp_path, "m", "expr", ["v"])
    with pytest.raises(UserError, match=message):
        read_prediction_set(tmp_path, name, find_task(task))


def test_tracks_of_two_models_under_one_name_are_refused(tmp_path: Path) -> None:
    write_model(tmp_path, "m", "va", ["v"])
    write_model(tmp_path / "other", "n", "va", ["w"])
    source = tmp_path / "other/n" / SOURCE / "w.parquet"
    source.rename(tmp_path / "m" / SOURCE / "w.parquet")
    with pytest.raises(UserError, match=r"w\.parquet: is of aff_wild2/w; its name is .*/n/aff_wild2/w\.parquet"):
        read_prediction_set(tmp_path, "m", find_task("va"))


def test_predictions_may_have_any_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Characters that no folder may have, or that are special in addresses, are codes in the folder's name."""
    names = ["b ü'x", "a/b", "100%", ".hidden", "x" * 190]
    for name in names:
        write_model(tmp_path / "P", name, "expr", ["v"])
        assert read_prediction_set(tmp_path / "P", name, find_task("expr")).name == name
    sample = write_sample(tmp_path / "s.txt", "expr", ["v/00001.jpg,"])
    options = ["submission", "--task", "expr", "--predictions", str(tmp_path / "P"), "--sample", str(sample)]
    assert main([*options, "--name", names[0], "--out", str(tmp_path / "o.txt")]) == 0
    assert main([*options, "--out", str(tmp_path / "o.txt")]) == 2
    assert "holds predictions of .hidden, 100%, a/b, b ü'x, x" in capsys.readouterr().err
