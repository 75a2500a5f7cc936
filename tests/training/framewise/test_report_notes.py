"""A report names every model and video that has no score with the reason, and says what an ensemble was fitted on."""

import html
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from avf_training.cli.main import main
from avf_training.framewise.labels.label_track import SplitName
from avf_training.framewise.labels.trained_videos import TrainedVideo, TrainedVideos
from support.frame_ensembles import run_plan, write_plan
from support.frame_predictions import SOURCE, write_labels, write_model


class Reports:
    """Reports of the predictions and labels in a folder."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder, self._capsys = folder, capsys
        self.values: dict[str, Any] = {}
        self.printed = self.page = ""

    def write(self, name: str, *options: str, task: str = "va") -> None:
        """Write a report, and keep its numbers, what the command prints, and the text of the page."""
        folder = self._folder
        words = ["report-frames", "--task", task, "--predictions", str(folder / "P"), "--name", name]
        self._capsys.readouterr()
        assert main([*words, "--labels", str(folder / "L"), "--out", str(folder / "R"), *options]) == 0
        self.printed = self._capsys.readouterr().out
        self.values = json.loads((folder / f"R/{task}.json").read_text())
        self.page = html.unescape((folder / f"R/{task}.html").read_text())

    def tells(self, sentence: str) -> bool:
        """Return whether both the terminal and the page say something."""
        return sentence in self.printed and sentence in self.page


@pytest.fixture
def reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Reports:
    return Reports(tmp_path, capsys)


def learn(folder: Path, name: str, *videos: str, people: tuple[str, ...] = ()) -> None:
    """Say that a model was trained on videos, and on further ones of people."""
    entries = [TrainedVideo(source=SOURCE, video=video, group=video) for video in videos]
    entries += [TrainedVideo(source=SOURCE, video=f"of_{each}", group=f"of_{each}", name=each) for each in people]
    TrainedVideos(train_on="train").add(entries).write(folder / "P" / name)


def label(folder: Path, task: str = "va", **splits: SplitName) -> None:
    """Label videos of persons named as they are."""
    for video, split in splits.items():
        write_labels(folder / "L", task, video, split, person=f"p_{video}")


def test_every_model_that_is_named_appears_or_is_told_with_the_reason(tmp_path: Path, reports: Reports) -> None:
    label(tmp_path, v="validation", w="validation", t="test")
    for name, videos in {"a": ["v", "w", "t"], "b": ["v", "w", "t"], "c": ["x"], "d": ["v"]}.items():
        write_model(tmp_path / "P", name, "va", videos)
    learn(tmp_path, "a")
    learn(tmp_path, "b", "v", "w", "t")
    learn(tmp_path, "c", "v")
    reports.write("a", "--compare", "b", "--compare", "c", "--compare", "d")
    assert [model["name"] for model in reports.values["models"]] == ["a", "d"]
    source = f"{SOURCE}/"
    assert reports.tells(f"b does not stand in the table: it was trained on {source}v, {source}w")
    assert reports.tells(
        f"c does not stand in the table: it was trained on {source}v; it has no predictions of {source}w"
    )
    assert reports.tells(f"d is scored on 1 of 2 videos: it has no predictions of {source}w")
    assert reports.values["notes"][2].startswith("d is scored on 1 of 2")
    assert reports.tells(f"b does not stand in the table: it was trained on {source}t")
    assert [note.partition(" ")[0] for note in reports.values["test_notes"]] == ["b", "c", "d"]
    reports.write("a", "--compare", "b", "--split", "validation")
    assert [model["name"] for model in reports.values["models"]] == ["a", "b"]
    assert [model["trained_on"] for model in reports.values["models"]] == [0, 2]
    assert reports.tells("b was trained on 2 of the videos that it is scored on")


def test_test_videos_that_were_learned_are_named(tmp_path: Path, reports: Reports) -> None:
    label(tmp_path, v="validation", s="test", t="test")
    write_model(tmp_path / "P", "a", "va", ["v", "s", "t"])
    learn(tmp_path, "a", "t")
    reports.write("a")
    words = f"1 of 2 labelled videos, without 1 that the model was trained on ({SOURCE}/t)"
    assert reports.values["test_chosen"] == words
    assert reports.tells(words)
    learn(tmp_path, "a", "t", "s")
    reports.write("a")
    assert reports.values["test_models"] == []
    assert reports.tells(f"0 of 2 labelled videos, without 2 that the model was trained on ({SOURCE}/s, {SOURCE}/t)")


def test_a_missing_prediction_is_told(tmp_path: Path, reports: Reports) -> None:
    label(tmp_path, v="validation", w="validation", t="test", s="test")
    write_model(tmp_path / "P", "a", "va", ["v", "t"])
    reports.write("a")
    missing = (
        f"2 labelled videos have no predictions, and no score (1 of the validation set, 1 of the test set): {SOURCE}/"
    )
    assert reports.tells(missing)
    write_model(tmp_path / "P", "b", "va", ["v", "t", "w", "s"])
    run_plan(tmp_path, write_plan(tmp_path / "plan.yaml", "va", ["a", "b"]))
    reports.write("together")
    assert reports.tells(f"2 videos are answered without a, of which there are no predictions: {SOURCE}/s, {SOURCE}/w")
    assert reports.tells(f"a is scored on 1 of 2 videos: it does not answer {SOURCE}/w")
    shutil.rmtree(tmp_path / "P/b")
    reports.write("together")
    assert reports.tells("b does not stand in the table: its predictions are not in the folder")


def test_people_whose_other_videos_were_learned_are_told_in_every_table(tmp_path: Path, reports: Reports) -> None:
    label(tmp_path, r="train", v="validation", w="validation", t="test")
    for name in ("a", "b"):
        write_model(tmp_path / "P", name, "va", ["r", "v", "w", "t"])
        learn(tmp_path, name, "r", people=("p_v", "p_t") if name == "a" else ())
    related = "; of 1, the model was trained on another of the same person or file"
    for options in ((), ("--split", "validation"), ("--split", "test")):
        reports.write("a", *options)
        assert reports.tells(related), options
        assert reports.values["models"][0]["related"] == 1
    reports.write("a", "--split", "all")
    assert reports.tells("; of 2, the model was trained on another of the same person or file")
    reports.write("a")
    assert reports.values["test_chosen"] == f"1 of 1 labelled video{related}"
    reports.write("b", "--compare", "a")
    assert reports.tells("a was trained on another video of the same person or file as 1 video here")
    record = run_plan(tmp_path, write_plan(tmp_path / "plan.yaml", "va", ["a", "b"]))
    assert {video.video: video.related for video in record.videos} == {"r": (), "t": ("a",), "v": ("a",), "w": ()}
    reports.write("together")
    words = "; of 1, a member that answers was trained on another of the same person or file"
    assert reports.values["chosen"].endswith(words)
    assert reports.values["test_chosen"].endswith(words)
    reports.write("together", "--split", "all")
    assert reports.tells(words.replace("of 1", "of 2"))


def test_an_ensemble_tells_of_related_people_when_it_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    label(tmp_path, v="validation", t="test")
    write_model(tmp_path / "P", "a", "va", ["v", "t"])
    learn(tmp_path, "a", people=("p_v",))
    run_plan(tmp_path, write_plan(tmp_path / "plan.yaml", "va", ["a"]))
    assert (
        "1 scored video of a person or file of which a member that answers was trained on another video, such as "
        f"{SOURCE}/v (a)"
    ) in capsys.readouterr().out


def test_an_ensemble_tells_of_videos_that_it_does_not_score_when_it_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    label(tmp_path, v="validation", w="validation", s="test", t="test")
    write_model(tmp_path / "P", "a", "va", ["v", "s", "t"])
    learn(tmp_path, "a", "t")
    plan = write_plan(tmp_path / "plan.yaml", "va", ["a"])
    run_plan(tmp_path, plan)
    printed = capsys.readouterr()
    assert f"1 labelled video has no predictions of any member: {SOURCE}/w" in printed.err
    learned = f"not scored, as every member that answers was trained on it: {SOURCE}/t"
    assert f"1 video of the set test is {learned}" in printed.out
    shutil.rmtree(tmp_path / "P/together")
    learn(tmp_path, "a", "s", "t")
    run_plan(tmp_path, plan)
    assert f"2 videos of the set test are not scored, as every member that answers was trained on them: {SOURCE}/s" in (
        capsys.readouterr().out
    )


def test_what_is_left_out_and_what_was_learned_do_not_contradict(tmp_path: Path, reports: Reports) -> None:
    label(tmp_path, u="validation", v="validation", w="validation")
    write_model(tmp_path / "P", "a", "va", ["u", "v", "w"])
    learn(tmp_path, "a", "u", "v")
    reports.write("a")
    first = reports.printed.splitlines()[0]
    assert first == "a on 1 labelled video of the validation set, without 2 that the model was trained on"
    assert reports.values["learned"] == [f"{SOURCE}/u", f"{SOURCE}/v"]
    learn(tmp_path, "a")
    reports.write("a")
    first = reports.printed.splitlines()[0]
    assert first == "a on 3 labelled videos of the validation set; the model was trained on none of them"


NOTHING = "Nothing of the ensemble was chosen or fitted on these videos."
FORESTS = "The forests were fitted on these videos, each of which is answered by forests without its person or file: "
KINDS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "mean": ("va", {}, [NOTHING]),
    "vote": ("expr", {"method": {"kind": "vote"}}, [NOTHING]),
    "width": (
        "va",
        {"smoothing": {"kind": "gaussian", "sigma_grid": [0.0, 2.0]}},
        ["The width of the smoothing was chosen on these videos, and fits them better than new ones."],
    ),
    "dirichlet": (
        "va",
        {"method": {"kind": "dirichlet", "matrices": 20}},
        [
            "The weights were chosen on these videos, whose score therefore says too much of new ones: ",
            "where each person or file is answered by weights that others chose.",
        ],
    ),
    "forest": ("va", {"method": {"kind": "forest", "trees": [5]}}, [FORESTS, "out of bag, where a frame's neighbours"]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_ensemble_was_fitted_on_is_said_of_each_method(
    tmp_path: Path, reports: Reports, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    task, fields, sentences = KINDS[kind]
    label(tmp_path, task, u="validation", v="validation", w="validation", t="test")
    for name in ("a", "b"):
        write_model(tmp_path / "P", name, task, ["u", "v", "w", "t"])
    run_plan(tmp_path, write_plan(tmp_path / "plan.yaml", task, ["a", "b"], **fields))
    printed = capsys.readouterr().out
    reports.write("together", task=task)
    for sentence in sentences:
        assert sentence in printed
        assert reports.tells(sentence)
        assert sentence in " ".join(reports.values["fit"])
    assert reports.values["test_fit"] == [NOTHING]
    assert "the members that answer were trained on none of them" in reports.printed
    reports.write("together", "--split", "test", task=task)
    assert reports.values["fit"] == [NOTHING]
    reports.write("together", "--split", "all", task=task)
    parts = [sentence.replace("on these videos", "on 3 of these videos") for sentence in sentences]
    assert reports.tells(parts[0]) or sentences == [NOTHING]


@pytest.mark.parametrize("kind", ["dirichlet", "forest"])
def test_a_fit_on_one_person_leaves_none_out_and_says_so(tmp_path: Path, reports: Reports, kind: str) -> None:
    """Their videos are answered by what was fitted on them."""
    for video in ("u", "v"):
        write_labels(tmp_path / "L", "va", video, group="anna", person="anna")
    for name in ("a", "b"):
        write_model(tmp_path / "P", name, "va", ["u", "v"])
    method = {"kind": kind} | ({"matrices": 20} if kind == "dirichlet" else {"trees": [5]})
    record = run_plan(tmp_path, write_plan(tmp_path / "plan.yaml", "va", ["a", "b"], method=method))
    assert record.fitting.groups == 1
    reports.write("together")
    assert reports.tells("they are of one person or file, so that none could be left out.")
    assert "without its person or file" not in reports.printed + reports.page
    assert "fitted without" not in reports.page


def test_a_member_with_a_fit_of_its_own_is_named(tmp_path: Path, reports: Reports) -> None:
    label(tmp_path, u="validation", v="validation", w="validation")
    for name in ("a", "b"):
        write_model(tmp_path / "P", name, "va", ["u", "v", "w"])
    method = {"kind": "dirichlet", "matrices": 20}
    run_plan(tmp_path, write_plan(tmp_path / "plan.yaml", "va", ["a", "b"], method=method))
    plan = write_plan(tmp_path / "above.yaml", "va", ["together", "a"], name="above")
    words = ["ensemble-frames", str(plan), "--predictions", str(tmp_path / "P"), "--labels", str(tmp_path / "L")]
    assert main([*words, "--out", str(tmp_path / "P")]) == 0
    reports.write("above")
    assert reports.tells(
        "The member together is an ensemble with fits of their own, on videos that their records name."
    )


@pytest.mark.parametrize(("kind", "whom"), [("mean", "every member that answers"), ("dirichlet", "some member")])
def test_who_learned_a_video_depends_on_the_method(tmp_path: Path, reports: Reports, kind: str, whom: str) -> None:
    """All members answer for a fitted method, and one that has learned the video is enough."""
    label(tmp_path, u="validation", v="validation", w="validation")
    for name in ("a", "b"):
        write_model(tmp_path / "P", name, "va", ["u", "v", "w"])
        learn(tmp_path, name, *(("u",) if kind == "mean" or name == "a" else ()))
    method = {"kind": kind} | ({"matrices": 20} if kind == "dirichlet" else {})
    run_plan(tmp_path, write_plan(tmp_path / "plan.yaml", "va", ["a", "b"], method=method))
    reports.write("together", "--split", "validation")
    assert reports.tells(f"1 of which {whom} was trained on")
    reports.write("together")
    new = "labelled videos that are new to the members that answer them, without those of the test set"
    assert reports.tells(f"{new} and without 1 that {whom} was trained on")
