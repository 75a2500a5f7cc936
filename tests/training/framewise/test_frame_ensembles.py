"""Ensembles of predictions by a plan: who answers, how answers join, what is fitted, and what the record says."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from avf_training.cli.main import main
from avf_training.framewise.combination.alignment import align_tracks
from avf_training.framewise.combination.joining import join_answers
from avf_training.framewise.combination.membership import VideoFacts, choose_members
from avf_training.framewise.combination.plan import EnsembleMember
from avf_training.framewise.combination.record import read_record
from avf_training.framewise.ensemble.fold_table import FoldRow, FoldTable, read_fold_table, write_fold_table
from avf_training.framewise.labels.tasks import find_task
from avf_training.framewise.metrics import score_valence_arousal
from avf_training.framewise.predictions.likelihoods import to_likelihoods
from avf_training.framewise.predictions.prediction_set import read_prediction_set
from avf_training.framewise.tracks.identity import TrackSubject
from hypothesis import given
from hypothesis import strategies as st
from support.frame_ensembles import VIDEOS, make_plan, run_plan, write_plan
from support.frame_predictions import (
    SOURCE,
    make_labels,
    make_prediction,
    make_truth,
    make_vectors,
    write_labels,
    write_model,
    write_predictions,
)


@pytest.mark.parametrize(("task", "kind"), [("va", "mean"), ("expr", "mean"), ("expr", "vote"), ("au", "vote")])
def test_an_ensemble_of_good_models_is_better_than_each(
    corpus: Path, capsys: pytest.CaptureFixture[str], task: str, kind: str
) -> None:
    write_model(corpus / "P", f"d_{task}", task, VIDEOS, noise=0.32)
    members = [f"{name}_{task}" for name in ("a", "b", "d")]
    record = run_plan(corpus, write_plan(corpus / "p.yaml", task, members, method={"kind": kind}))
    assert record.scores["mean"] > max(member.scores["mean"] for member in record.members)
    assert record.scored_frames == 120 * len(VIDEOS)
    assert all(video.scored and video.members == tuple(members) for video in record.videos)
    output = capsys.readouterr().out
    assert f"{record.scores['mean']:.4f}" in output
    assert "720 frames, 0 interpolated, 0 repeated" in output


def test_the_score_is_the_official_one_of_the_written_predictions(corpus: Path) -> None:
    record = run_plan(corpus, write_plan(corpus / "p.yaml", "va", ["a_va", "b_va"]))
    tracks = read_prediction_set(corpus / "P", "together", find_task("va")).tracks
    truth = np.concatenate([make_truth("va", subject.video_id).astype(np.float32) for subject in tracks])
    written = np.concatenate([track.vectors_ND for track in tracks.values()])
    official = score_valence_arousal(truth.astype(np.float64), written.astype(np.float64))
    assert record.scores["mean"] == pytest.approx(official.mean.value, abs=1e-9)
    means = [
        np.mean([read_prediction_set(corpus / "P", name, find_task("va")).tracks[subject].vectors_ND
                 for name in ("a_va", "b_va")], 0)
        for subject in tracks
    ]  # fmt: skip
    np.testing.assert_allclose(written, np.concatenate(means), atol=1e-6)


def test_the_same_plan_writes_nothing_anew_and_another_is_refused(
    corpus: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plan = write_plan(corpus / "p.yaml", "va", ["a_va", "b_va"])
    run_plan(corpus, plan)
    before = {path: path.stat().st_mtime_ns for path in (corpus / "P/together").rglob("*.parquet")}
    run_plan(corpus, plan)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    other = write_plan(corpus / "q.yaml", "va", ["a_va", "c_va"])
    words = ["ensemble-frames", str(other), "--predictions", str(corpus / "P"), "--out", str(corpus / "P")]
    assert main(words) == 2
    assert "is of other weights of together" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_weights_that_are_drawn_prefer_the_better_model_and_a_fit_left_out_is_told(corpus: Path) -> None:
    method = {"kind": "dirichlet", "matrices": 200, "seed": 3}
    record = run_plan(corpus, write_plan(corpus / "p.yaml", "va", ["a_va", "c_va"], method=method))
    assert all(weights["a_va"] > 0.7 for weights in record.fitting.weights.values())
    assert sum(record.fitting.weights["valence"].values()) == pytest.approx(1)
    assert record.fitting.chosen_score == pytest.approx(record.scores["mean"], abs=1e-6)
    assert record.fitting.left_out_score is not None
    assert record.fitting.left_out_score <= record.fitting.chosen_score + 1e-9
    assert record.fitting.frames == record.scored_frames


@pytest.mark.parametrize("task", ["va", "expr"])
def test_forests_answer_a_video_without_having_seen_it_and_their_leaking_score_stands_beside(
    corpus: Path, task: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On frames of random labels nothing can be learned, but the neighbours of a frame are in the bag."""
    for number, video in enumerate(VIDEOS):
        random = np.random.default_rng(number)
        blocks = random.uniform(-1, 1, (12, 2)) if task == "va" else random.integers(0, 8, (12, 1))
        truth = np.repeat(blocks, 10, 0)
        (corpus / "L" / task / SOURCE / f"{video}.parquet").unlink()
        write_labels(corpus / "L", task, video, group=video.partition("_")[0], values=truth)
        slow = np.repeat(np.random.default_rng(100 + number).normal(size=(12, 2 if task == "va" else 8)), 10, 0)
        write_predictions(corpus / "P", "slow", task, {video: slow.clip(-1, 1)})
    method = {"kind": "forest", "trees": [30]}
    record = run_plan(corpus, write_plan(corpus / "p.yaml", task, ["slow", f"c_{task}"], method=method))
    assert record.fitting.out_of_bag_score is not None
    assert record.fitting.left_out_score is not None
    assert record.fitting.out_of_bag_score > record.fitting.left_out_score + 0.2
    assert record.scores["mean"] < record.fitting.left_out_score + 0.15
    assert record.fitting.headline == "grouped"
    assert "out of bag, where a frame's neighbours were learned, which leaks" in capsys.readouterr().out


def test_sigma_is_chosen_on_the_scored_videos(corpus: Path) -> None:
    plan = write_plan(
        corpus / "p.yaml", "va", ["a_va", "c_va"], smoothing={"kind": "gaussian", "sigma_grid": [0, 2, 5]}
    )
    record = run_plan(corpus, plan)
    assert record.width_unit == "sigma_frames"
    assert record.width in (2, 5)
    assert list(record.width_scores) == ["0", "2", "5"]
    assert record.width_scores[f"{record.width:g}"] == pytest.approx(record.scores["mean"], abs=1e-6)
    noisy = record.members[1]
    assert noisy.smoothed_scores["mean"] > noisy.scores["mean"] + 0.05


@pytest.mark.parametrize(
    ("task", "fields"),
    [
        ("va", {"method": {"kind": "dirichlet", "matrices": 50}, "smoothing": {"kind": "gaussian"}}),
        ("expr", {"method": {"kind": "forest", "trees": [5, 10]}}),
        ("au", {"smoothing": {"kind": "hamming", "window_grid_s": [0.1, 0.5, 2]}}),
        ("expr", {"smoothing": {"kind": "hamming"}, "protocol": "authors_code"}),
    ],
)
@pytest.mark.parametrize("folds", [False, True])
def test_labels_of_the_test_set_change_no_weight_choice_or_prediction(
    tmp_path: Path, task: str, fields: dict[str, Any], *, folds: bool
) -> None:
    """With the true labels, with noise in their place, and without any; even where a table puts the videos in folds."""
    tested, members = ["t1", "t2", "t3"], ["a", "b"]
    for name, noise in (("a", 0.3), ("b", 0.9)):
        write_model(tmp_path / "P", name, task, [*VIDEOS, *tested], noise=noise)
    if folds:
        rows = tuple(
            FoldRow(source=SOURCE, video=video, group=video, frames=120, fold=1 + number % 2)
            for number, video in enumerate([*VIDEOS, *tested])
        )
        write_fold_table(tmp_path / "folds.json", FoldTable(task=task, seed=0, folds=2, rows=rows))
        for name in ("c", "d"):
            write_model(tmp_path / "P", name, task, [*VIDEOS, *tested], noise=0.5)
        parts = [{"name": name, "fold": fold} for fold, name in enumerate(("c", "d"), 1)]
        first = write_plan(tmp_path / "first.yaml", task, parts, folds="folds.json", name="folded")
        members = [*members, "folded"]
    plan = write_plan(tmp_path / "p.yaml", task, members, **fields)
    records, written = [], []
    for kind in ("true", "noise", "none"):
        for video in VIDEOS:
            write_labels(tmp_path / kind, task, video)
        for number, video in enumerate(tested if kind != "none" else ()):
            truth = make_truth(task, video)
            noise = make_truth(task, f"{video}{kind}") if kind == "noise" else truth
            write_labels(tmp_path / kind, task, video, "test", values=noise, group=f"g{number}")
        words = ["--predictions", str(tmp_path / "P"), "--labels", str(tmp_path / kind)]
        if folds:
            assert main(["ensemble-frames", str(first), *words, "--out", str(tmp_path / "P")]) == 0
        assert main(["ensemble-frames", str(plan), *words, "--out", str(tmp_path / f"O{kind}")]) == 0
        record = read_record(tmp_path / f"O{kind}/together")
        assert record is not None
        records.append(record)
        files = sorted((tmp_path / f"O{kind}").rglob("*.parquet"))
        written.append({path.name: path.read_bytes() for path in files})
    assert written[0] == written[1] == written[2]
    assert len(written[0]) == len(VIDEOS) + len(tested)
    for record in records:
        assert (record.fitting, record.width, record.width_scores) == (
            records[0].fitting,
            records[0].width,
            records[0].width_scores,
        )
        assert (record.scores, record.scored_frames) == (records[0].scores, 120 * len(VIDEOS))
        assert [member.smoothed_scores for member in record.members] == [
            member.smoothed_scores for member in records[0].members
        ]
    assert [record.test_frames for record in records] == [360, 360, 0]
    assert records[0].test_scores["mean"] > records[1].test_scores["mean"] + 0.1
    assert records[2].test_scores == {}


def test_scores_of_the_test_set_stand_apart_and_alone_fit_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for name, noise in (("a", 0.3), ("b", 0.9)):
        write_model(tmp_path / "P", name, "va", ["v", "t"], noise=noise)
    write_labels(tmp_path / "L", "va", "t", "test")
    for fields, purpose in (
        ({"method": {"kind": "dirichlet"}}, "to fit dirichlet on"),
        ({"method": {"kind": "forest"}}, "to fit forest on"),
        ({"smoothing": {"kind": "gaussian"}}, "to choose the smoothing on; name sigma_frames or window_s"),
    ):
        plan = write_plan(tmp_path / "p.yaml", "va", ["a", "b"], **fields)
        words = ["ensemble-frames", str(plan), "--predictions", str(tmp_path / "P"), "--out", str(tmp_path / "OUT")]
        assert main([*words, "--labels", str(tmp_path / "L")]) == 2
        whom = "every member" if "method" in fields else "a member"
        assert f"no video outside the set test is labelled, predicted and new to {whom}, {purpose}" in caplog.text
        assert not (tmp_path / "OUT").exists()
    record = run_plan(tmp_path, write_plan(tmp_path / "p.yaml", "va", ["a", "b"]))
    assert (record.scores, record.scored_frames, record.test_frames) == ({}, 0, 120)
    assert [member.test_videos for member in record.members] == [1, 1]
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("the set test, on which nothing is chosen or fitted:")
    assert lines[start + 3].split() == ["together", "1", f"{record.test_scores['mean']:.4f}"]
    assert lines[start - 1].split() == ["together", "2", "0", "–"]


def test_labels_that_choose_no_width_are_told(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    for video in VIDEOS:
        write_labels(corpus / "invalid", "va", video, values=np.full((120, 2), np.nan))
    plan = write_plan(corpus / "p.yaml", "va", ["a_va", "b_va"], smoothing={"kind": "gaussian"})
    words = ["ensemble-frames", str(plan), "--predictions", str(corpus / "P"), "--out", str(corpus / "OUT")]
    assert main([*words, "--labels", str(corpus / "invalid")]) == 2
    assert "no width of smoothing has a score" in caplog.text
    assert not (corpus / "OUT").exists()


def test_models_of_folds_answer_their_own_fold_and_all_of_them_answer_new_videos(tmp_path: Path) -> None:
    for video in [*VIDEOS, "t1"]:
        if video != "t1":
            write_labels(tmp_path / "L", "va", video, "train", group=video.partition("_")[0])
    for fold in (1, 2, 3):
        write_model(tmp_path / "P", f"fold{fold}", "va", [*VIDEOS, "t1"])
    words = ["frame-folds", str(tmp_path / "L"), "--task", "va", "--folds", "3", "--out", str(tmp_path / "folds.json")]
    assert main(words) == 0
    table = read_fold_table(tmp_path / "folds.json")
    assert {row.fold for row in table.rows} == {1, 2, 3}
    assert len({row.fold for row in table.rows if row.group == "7"}) == 1, "both persons of a file stay together"
    members = [{"name": f"fold{fold}", "fold": fold} for fold in (1, 2, 3)]
    record = run_plan(tmp_path, write_plan(tmp_path / "p.yaml", "va", members, folds="folds.json"))
    for video in record.videos:
        if video.video == "t1":
            assert (video.members, video.scored) == (("fold1", "fold2", "fold3"), False)
        else:
            assert (video.members, video.scored) == ((f"fold{video.fold}",), True)


def test_scenes_route_videos_to_their_models(tmp_path: Path) -> None:
    for video, scene in (("r", "reaction"), ("o", "other"), ("n", None)):
        write_labels(tmp_path / "L", "va", video, scene=scene)
    for name in ("all", "react"):
        write_model(tmp_path / "P", name, "va", ["r", "o", "n"])
    members = ["all", {"name": "react", "scene": "reaction"}]
    record = run_plan(tmp_path, write_plan(tmp_path / "p.yaml", "va", members))
    assert {video.video: video.members for video in record.videos} == {"r": ("react",), "o": ("all",), "n": ("all",)}
    (tmp_path / "scenes.csv").write_text("video,scene,reason\nn,reaction,by hand\n")
    plan = write_plan(tmp_path / "q.yaml", "va", members, scenes="scenes.csv", name="other")
    words = ["ensemble-frames", str(plan), "--predictions", str(tmp_path / "P"), "--out", str(tmp_path / "P")]
    assert main(words) == 0
    other = read_record(tmp_path / "P/other")
    assert other is not None
    assert {video.video: video.members for video in other.videos} == {"r": ("all",), "o": ("all",), "n": ("react",)}


def test_scenes_are_proposed_from_measures(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for video in ("a", "b"):
        write_labels(tmp_path / "L", "va", video)
    measures, scenes = tmp_path / "m.csv", tmp_path / "s.csv"
    measures.write_text("video,open_mouth_share,face_share,cuts_per_minute\na,0.1,0.99,0\nb,0.5,0.99,0\n")
    words = ["frame-folds", str(tmp_path / "L"), "--task", "va", "--folds", "2", "--out", str(tmp_path / "f.json")]
    assert main([*words, "--measures", str(measures), "--scenes", str(scenes)]) == 0
    assert scenes.read_text().splitlines()[1].startswith('"a","reaction","proposed: mouth open 0.10')
    assert '"b","other"' in scenes.read_text()
    assert main([*words, "--measures", str(measures)]) == 2
    assert "belongs together with --footage or --measures" in caplog.text
    measures.write_text("video,open_mouth_share,face_share,cuts_per_minute\na,1.5,0.99,0\n")
    assert main([*words, "--measures", str(measures), "--scenes", str(scenes)]) == 2
    assert "line 2: shares lie from 0 to 1" in caplog.text


@pytest.mark.parametrize(
    ("member", "facts", "seen"),
    [
        ({}, {"split": "train"}, True),
        ({}, {"split": "validation"}, False),
        ({}, {"split": None}, True),
        ({"trained_on": "all"}, {"split": "validation"}, True),
        ({"trained_on": "all"}, {"split": "test"}, False),
        ({"fold": 1}, {"split": "train", "fold": 1}, False),
        ({"fold": 1}, {"split": "train", "fold": 2}, True),
        ({"fold": 1}, {"split": "test", "fold": None}, False),
    ],
)
def test_who_has_seen_a_video_is_told_by_fold_and_set(
    member: dict[str, Any], facts: dict[str, Any], seen: bool
) -> None:
    labels = make_labels("va", "v", facts["split"])
    video = VideoFacts(subject=labels.subject, labels=labels, fold=facts.get("fold"), scene="other")
    assert choose_members([EnsembleMember(name="m", **member)], [True], video).seen is seen
    unlabelled = choose_members([EnsembleMember(name="m", **member)], [True], replace(video, labels=None))
    assert unlabelled.seen is (seen and "fold" in member), "what folds tell holds without labels"


@given(
    fps=st.floats(6, 60),
    members=st.tuples(*[st.sets(st.integers(1, 90), min_size=1)] * 2),
    task=st.sampled_from(["va", "expr", "au"]),
    every=st.booleans(),
    bound=st.sampled_from([None, 0.0, 0.3]),
)
def test_members_with_gaps_are_aligned_and_what_they_lack_is_counted(
    fps: float, members: tuple[set[int], set[int]], task: str, every: bool, bound: float | None
) -> None:
    (first, second), tracks = members, []
    for name, frames in (("a", first), ("b", second)):
        frames_N = np.array(sorted(frames))
        vectors = make_vectors(task, make_truth(task, "v", 90)[frames_N - 1], 0.2, len(frames))
        tracks.append(make_prediction(name, task, "v", vectors, frames_N=frames_N, fps=fps))
    aligned = align_tracks(find_task(task), tracks, "every" if every else "predicted", bound)
    union = sorted(first | second)
    assert aligned.frames_N.tolist() == (list(range(1, union[-1] + 1)) if every else union)
    np.testing.assert_allclose(aligned.times_s_N, (aligned.frames_N - 1) / fps, atol=1e-9)
    assert np.isfinite(aligned.likelihoods_MND).all()
    asked = aligned.frames_N.tolist()
    outside = {n for n in asked for s in (first, second) if n < min(s) or n > max(s)}
    inside = set()
    for known, likelihoods_ND in zip((sorted(first), sorted(second)), aligned.likelihoods_MND, strict=True):
        for start, end in zip(known, known[1:], strict=False):
            gap = set(range(start + 1, end)) & set(asked)
            is_bounded = bound is not None and end - start - 1 > bound * fps
            (outside if is_bounded else inside).update(gap)
            for n in gap if is_bounded else ():
                assert (likelihoods_ND[asked.index(n)] == likelihoods_ND[asked.index(start)]).all()
    longest = max(
        end - start - 1 for s in map(sorted, (first, second)) for start, end in zip([s[0] - 1, *s], s, strict=False)
    )
    assert aligned.longest_gap_s == pytest.approx(longest / fps)
    assert (aligned.repeated, aligned.interpolated) == (len(outside), len(inside))
    for track, likelihoods_ND in zip(tracks, aligned.likelihoods_MND, strict=True):
        rows = np.searchsorted(aligned.frames_N, track.frames_N)
        np.testing.assert_allclose(likelihoods_ND[rows], to_likelihoods(find_task(task), track.vectors_ND), atol=1e-12)
        if task == "expr":
            np.testing.assert_allclose(likelihoods_ND.sum(1), 1)


def test_uncertain_rows_of_audio_count_nothing(tmp_path: Path) -> None:
    plan = make_plan("expr", ["v", {"name": "s", "stream": "audio"}], audio_entropy_nats=1.8)
    sure, flat = np.eye(8)[[2, 3]], np.full((2, 8), 1 / 8)
    flat[1] = np.eye(8)[4]
    joined = join_answers(plan, list(plan.members), np.stack([sure, flat]))
    np.testing.assert_allclose(joined[0], sure[0])
    np.testing.assert_allclose(joined[1], (sure[1] + flat[1]) / 2)
    alone = replace(plan, members=plan.members[1:])
    np.testing.assert_allclose(join_answers(alone, list(alone.members), flat[None]), flat)


def test_a_member_without_a_video_is_left_out_and_named(corpus: Path) -> None:
    (corpus / "P/b_va" / SOURCE / "10.parquet").unlink()
    record = run_plan(corpus, write_plan(corpus / "p.yaml", "va", ["a_va", "b_va"]))
    (video,) = [each for each in record.videos if each.missing]
    assert (video.video, video.missing, video.members) == ("10", ("b_va",), ("a_va",))


def test_a_second_person_of_a_video_is_an_answer_of_its_own(tmp_path: Path) -> None:
    subject = TrackSubject(source=SOURCE, video_id="v", person=1)
    plan = make_plan("va", ["m"])
    video = VideoFacts(subject=subject, labels=None, fold=None, scene="other")
    assert choose_members(plan.members, [True], video).positions == (0,)
