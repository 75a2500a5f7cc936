"""The report of a task: official scores, the papers' figures as printed, curves, what was filled, and the page."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from avf_shards.schema.versions import read_json
from avf_training.cli.main import main
from avf_training.framewise.labels.tasks import TASKS_OF_FRAMES, find_task
from avf_training.framewise.metrics import score_action_units, score_expressions, score_valence_arousal
from avf_training.framewise.predictions.likelihoods import to_likelihoods
from avf_training.framewise.predictions.truth_join import join_video
from avf_training.framewise.report.curves import MOST_BINS, chart_video
from avf_training.framewise.report.published_abaw import published_scores
from hypothesis import given
from hypothesis import strategies as st
from support.browser import open_page, serious_findings
from support.frame_predictions import (
    make_labels,
    make_prediction,
    make_truth,
    make_vectors,
    write_labels,
    write_model,
    write_predictions,
)

VIDEOS = [f"v{number}" for number in range(6)]
TASKS = list(TASKS_OF_FRAMES)


def report(folder: Path, task: str, name: str, *options: str) -> dict[str, Any]:
    words = ["report-frames", "--task", task, "--predictions", str(folder / "P"), "--name", name]
    assert main([*words, "--labels", str(folder / "L"), "--out", str(folder / "R"), *options]) == 0
    return read_json(folder / f"R/{task}.json", "frame report")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six people, two models and an ensemble of them for each task; a name and a class try to be markup."""
    folder = tmp_path_factory.mktemp("report")
    for task in TASKS:
        for video in VIDEOS:
            write_labels(folder / "L", task, video, person=f"p{video}")
        write_labels(folder / "L", task, "</script><i>no", person="q")
        for name in ("a", "b"):
            write_model(folder / "P", f"{name}_{task}", task, [*VIDEOS, "unlabelled"], noise=0.4)
        plan = {"schema": "avf-foundry frame ensemble plan", "schema_version": 1, "task": task, "name": f"all_{task}"}
        plan |= {"members": [{"name": f"{name}_{task}"} for name in ("a", "b")]}
        plan |= {"smoothing": {"kind": "hamming"}, "protocol": "authors_code"} if task == "expr" else {}
        plan |= {"method": {"kind": "dirichlet", "matrices": 20}} if task == "va" else {}
        (folder / "plan.yaml").write_text(yaml.safe_dump(plan))
        words = ["ensemble-frames", str(folder / "plan.yaml"), "--predictions", str(folder / "P")]
        assert main([*words, "--labels", str(folder / "L"), "--out", str(folder / "P")]) == 0
    return folder


@pytest.mark.parametrize("task", TASKS)
def test_the_numbers_are_the_official_ones_and_members_stand_beside(corpus: Path, task: str) -> None:
    values = report(corpus, task, f"all_{task}")
    assert [model["name"] for model in values["models"]] == [f"all_{task}", f"a_{task}", f"b_{task}"]
    assert [model["frames"] for model in values["models"]] == [720] * 3
    truth = np.concatenate([make_truth(task, video).astype(np.float32) for video in VIDEOS])
    likelihoods = np.concatenate([
        to_likelihoods(find_task(task), make_vectors(task, make_truth(task, video), 0.4, sum(map(ord, f"a_{task}")) + n)
                       .astype(np.float32))
        for n, video in enumerate(VIDEOS)
    ])  # fmt: skip
    if task == "va":
        expected = score_valence_arousal(truth.astype(np.float64), likelihoods).mean.value
    elif task == "expr":
        expected = score_expressions(truth[:, 0].astype(np.int64), likelihoods.argmax(1)).mean.value
    else:
        expected = score_action_units(truth.astype(np.int64), likelihoods).mean.value
    assert values["models"][1]["scores"]["mean"] == pytest.approx(expected, abs=1e-9)
    low, high = values["models"][1]["intervals"]["mean"]
    assert low < expected < high
    assert values["without_predictions"] == ["aff_wild2/</script><i>no"]
    assert values["without_labels"] == ["aff_wild2/unlabelled"]
    assert len(values["outputs"]) == find_task(task).outputs
    if task == "expr":
        assert np.sum(values["confusion"]) == 720


def test_the_page_says_what_ran_and_what_the_papers_print(corpus: Path) -> None:
    values = report(corpus, "expr", "all_expr", "--video", "v3")
    text = (corpus / "R/expr.html").read_text()
    assert "<i>no" not in text
    for printed in ("55.55", "NetEase, table 2", "50.05", "fold-3"):
        assert printed in text
    assert text.count('<details class="video"') == 1
    ran = {line["option"]: line["ran"] for line in values["protocol"]}
    assert len(ran) == 32
    assert ran["smoothing_window"] == {"half_fps_zero_edges": ["all_expr"]}
    assert ran["forest_score"] == {}, "no forest was fitted"
    assert values["behind_last"] == "leave_out"
    assert "https://" not in text.split("<script>")[0]


def test_what_models_record_of_their_protocol_is_listed(tmp_path: Path) -> None:
    """In the form that predict-frames gives it: pairs of option and value."""
    write_labels(tmp_path / "L", "va", "v")
    for name, value in (("a", "triangle"), ("b", "run_cosine")):
        settings = {"protocol": json.dumps([["fusion_rate", value]])}
        write_predictions(tmp_path / "P", name, "va", {"v": make_truth("va", "v")}, settings=settings)
    values = report(tmp_path, "va", "a", "--compare", "b")
    (line,) = [line for line in values["protocol"] if line["option"] == "fusion_rate"]
    assert line["ran"] == {"triangle": ["a"], "run_cosine": ["b"]}


def test_a_model_is_said_to_have_run_what_it_uses(tmp_path: Path) -> None:
    write_labels(tmp_path / "L", "va", "v")
    pairs = [["fusion_rate", "triangle"], ["hrnet_input", "features13"], ["face_margin_px", 10]]
    settings = {"protocol": json.dumps(pairs), "model": "fusion_transformer"}
    write_predictions(tmp_path / "P", "m", "va", {"v": make_truth("va", "v")}, settings=settings)
    lines = {line["option"]: line for line in report(tmp_path, "va", "m")["protocol"]}
    assert lines["fusion_rate"]["ran"] == {"triangle": ["m"]}
    assert lines["hrnet_input"]["ran"] == {}, "the fusion transformer sees no picture"
    assert lines["hrnet_input"]["acts_in"] == ["static networks"]
    assert lines["face_margin_px"]["ran"] == {}
    assert lines["face_margin_px"]["reason"].startswith("faces are cut by curation")


def test_a_video_of_the_test_set_is_drawn_where_it_is_named(tmp_path: Path) -> None:
    for video, split in (("v", "validation"), ("w", "test")):
        write_labels(tmp_path / "L", "va", video, split)
    write_predictions(tmp_path / "P", "m", "va", {name: 0.9 * make_truth("va", name) for name in ("v", "w")})
    report(tmp_path, "va", "m", "--video", "w")
    text = (tmp_path / "R/va.html").read_text()
    assert text.count('<details class="video"') == 1
    assert "<summary>aff_wild2/w: " in text
    report(tmp_path, "va", "m")
    assert "<summary>aff_wild2/w: " not in (tmp_path / "R/va.html").read_text()


def test_frames_without_a_prediction_are_counted_by_video(tmp_path: Path) -> None:
    write_labels(tmp_path / "L", "va", "v")
    frames = np.concatenate([np.arange(1, 41), np.arange(61, 101), [130]])
    write_predictions(tmp_path / "P", "m", "va", {"v": np.zeros((len(frames), 2))}, frames={"v": frames})
    (video,) = report(tmp_path, "va", "m")["videos"]
    assert (video["scored_frames"], video["repeated"], video["unlabelled"]) == (120, 40, 1)
    assert video["interpolated"] is None
    assert video["longest_gap_s"] == pytest.approx(20 / 30)


def test_a_set_is_chosen_and_an_undefined_score_is_a_dash(tmp_path: Path) -> None:
    for video, split in (("t", "train"), ("w", "validation")):
        write_labels(tmp_path / "L", "va", video, split)  # type: ignore[arg-type]  # names of sets
    write_labels(tmp_path / "L", "va", "n", values=np.full((120, 2), np.nan))
    write_model(tmp_path / "P", "m", "va", ["t", "w", "n"])
    assert [each["video"] for each in report(tmp_path, "va", "m")["videos"]] == ["n", "w"]
    assert [each["video"] for each in report(tmp_path, "va", "m", "--split", "train")["videos"]] == ["t"]
    everything = report(tmp_path, "va", "m", "--split", "all")
    assert [each["score"] is None for each in everything["videos"]] == [True, False, False]


def test_the_test_set_stands_in_a_table_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Labels of it that become noise change its own table alone."""
    for name, noise in (("a", 0.3), ("b", 0.9)):
        write_model(tmp_path / "P", name, "va", ["v", "w", "t"], noise=noise)
    plan = {"schema": "avf-foundry frame ensemble plan", "schema_version": 1, "task": "va", "name": "all"}
    plan |= {"members": [{"name": "a"}, {"name": "b"}], "method": {"kind": "dirichlet", "matrices": 20}}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    reports = []
    for kind in ("L", "noise"):
        write_labels(tmp_path / kind, "va", "v")
        write_labels(tmp_path / kind, "va", "w")
        write_labels(tmp_path / kind, "va", "t", "test", values=make_truth("va", "t" if kind == "L" else kind))
        words = ["--predictions", str(tmp_path / "P"), "--labels", str(tmp_path / kind), "--out", str(tmp_path / "P")]
        assert main(["ensemble-frames", str(tmp_path / "plan.yaml"), *words]) == 0
        words = ["--predictions", str(tmp_path / "P"), "--labels", str(tmp_path / kind), "--out", str(tmp_path / "R")]
        reports.append([])
        for name in ("all", "a"):
            assert main(["report-frames", "--task", "va", "--name", name, *words]) == 0
            reports[-1].append(read_json(tmp_path / "R/va.json", "frame report"))
    for values, noisy in zip(*reports, strict=True):
        assert {model["videos"] for model in values["models"]} == {2}
        assert [model["videos"] for model in values["test_models"]] == [1] * len(values["models"])
        assert [video["video"] for video in values["videos"]] == ["v", "w"]
        scores = [each.pop("test_models")[0]["scores"]["mean"] for each in (values, noisy)]
        assert scores[0] > scores[1] + 0.1
        assert values == noisy
    output = capsys.readouterr().out
    assert "the test set:" in output
    assert "Scores of each model on the test set" in (tmp_path / "R/va.html").read_text()
    tested = report(tmp_path, "va", "all", "--split", "test")
    assert (tested["chosen"], tested["test_models"]) == ("labelled videos of the test set", [])
    mixed = report(tmp_path, "va", "all", "--split", "all")
    assert mixed["chosen"] == "all labelled videos (2 of the validation set, 1 of the test set)"


def test_videos_that_an_ensemble_was_trained_on_are_told(tmp_path: Path) -> None:
    write_labels(tmp_path / "L", "va", "v", "train")
    write_model(tmp_path / "P", "a", "va", ["v"])
    plan = {"schema": "avf-foundry frame ensemble plan", "schema_version": 1, "task": "va", "name": "all"}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan | {"members": [{"name": "a"}]}))
    words = ["--predictions", str(tmp_path / "P"), "--labels", str(tmp_path / "L"), "--out", str(tmp_path / "P")]
    assert main(["ensemble-frames", str(tmp_path / "plan.yaml"), *words]) == 0
    chosen = report(tmp_path, "va", "all", "--split", "train")["chosen"]
    assert chosen == "labelled videos of the train set, 1 of which every member that answers was trained on"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--split", "test"], "--split test: no video of this set has predictions; there are videos of validation"),
        (["--video", "nono"], "--video nono: is not among the scored videos"),
        (["--compare", "nono"], "has no predictions of 'nono'"),
    ],
)
def test_what_cannot_be_reported_is_one_sentence(
    corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, options: list[str], message: str
) -> None:
    words = ["report-frames", "--task", "va", "--predictions", str(corpus / "P"), "--name", "a_va"]
    assert main([*words, "--labels", str(corpus / "L"), "--out", str(tmp_path / "R"), *options]) == 2
    assert message in caplog.text
    assert not (tmp_path / "R").exists()


@given(
    task=st.sampled_from(TASKS), frames=st.integers(1, 700), fps=st.floats(6, 60), first=st.integers(1, 20),
    behind_last=st.sampled_from(["repeat", "leave_out"]),
)  # fmt: skip
def test_every_video_has_a_chart_that_stays_small(
    task: str, frames: int, fps: float, first: int, behind_last: Any
) -> None:
    numbers = np.arange(first, first + frames)
    truth = make_truth(task, "v", frames)
    truth[: frames // 3] = np.nan
    labels = make_labels(task, "v", values=truth, frames_N=numbers, times_s_N=(numbers - 1) / fps, fps=fps)
    known = numbers[: max(1, frames // 2)]
    vectors = make_vectors(task, make_truth(task, "v", frames)[: len(known)], 0.4, frames)
    joined = join_video(labels, make_prediction("m", task, "v", vectors, frames_N=known, fps=fps), behind_last)
    charts = chart_video(find_task(task), {"m": joined, "n": joined})
    assert len(charts) == (2 if task == "va" else 1)
    for chart in charts:
        rows = chart.spec["data"]["values"]
        json.dumps(rows, allow_nan=False)
        if task == "va":
            assert len(rows) == min(MOST_BINS, frames)
        else:
            assert all(row["start"] <= row["end"] for row in rows)
            assert len(rows) <= 3 * find_task(task).outputs * (MOST_BINS + 1) // 2


@pytest.mark.browser
@pytest.mark.parametrize(
    ("task", "scheme", "width"), [("va", "light", 1280), ("expr", "dark", 390), ("au", "light", 390)]
)
def test_every_chart_is_drawn_and_axe_finds_nothing_serious(corpus: Path, task: str, scheme: Any, width: int) -> None:
    report(corpus, task, f"all_{task}", "--video", "v0", "--video", "v1")
    with open_page(corpus / f"R/{task}.html", scheme=scheme, width=width) as opened:
        opened.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        charts = opened.locator(".chart")
        for number in range(charts.count()):
            charts.nth(number).scroll_into_view_if_needed()
            opened.wait_for_function("n => document.querySelectorAll('.chart')[n].dataset.drawn === ''", arg=number)
        assert charts.count() == 2 * (2 if task == "va" else 1)
        assert opened.locator(".chart .picture", has_text="cannot be drawn").count() == 0
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
        assert serious_findings(opened) == []


@pytest.mark.parametrize("task", TASKS)
def test_published_scores_name_outputs_of_their_task(task: str) -> None:
    figures = published_scores(find_task(task))
    assert figures
    for figure in figures:
        assert set(figure.scores) <= {*find_task(task).classes, "mean"}
        assert figure.set in ("test", "validation", *(f"fold-{number}" for number in range(1, 6)))
        assert all(0 < score < (1 if task == "va" else 100) for score in figure.scores.values())


@pytest.mark.real
def test_every_printed_number_of_the_papers_is_there_once(abaw6: Path) -> None:
    """Of the tables of results; those of corpora and of errors of single pictures are no scores of frames."""
    papers = json.loads((abaw6 / "published.json").read_text())
    ours: dict[tuple[str, str], Counter[float]] = {}
    for task in TASKS:
        for figure in published_scores(find_task(task)):
            ours.setdefault((figure.paper, figure.table), Counter()).update(figure.scores.values())
    for paper, key, tables in (("NetEase", "002 NetEase ABAW-6", range(1, 7)), ("SUN", "004 SUN ABAW-6", (2, 4, 5, 6))):
        for number in tables:
            (table,) = [rows for name, rows in papers[key].items() if name.startswith(f"table{number}_")]
            rows = table.values() if isinstance(table, dict) else table
            printed = Counter(
                value for row in rows for name, value in row.items() if isinstance(value, float) and name != "sys"
            )
            assert ours[paper, f"table {number}"] == printed, f"{paper}, table {number}"
