"""Several reviewers: kappa as scikit-learn has it, one answer from all, disagreements; Label Studio there and back."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from avf_curation.audit.agreement import cohen_kappa
from avf_curation.audit.review import ANSWERS, read_verdicts, sample_review, span_name
from avf_curation.cli.main import main
from avf_curation.reports.label_studio import write_label_studio
from avf_curation.stages.checks import STAGES
from avf_shards.format.run_folder import RunFolder
from sklearn.metrics import cohen_kappa_score
from support.runs import make_run


def test_kappa_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    for size in (5, 40, 300):
        first, second = (rng.choice(ANSWERS, size, p=[0.6, 0.3, 0.1]).tolist() for _ in range(2))
        kappa = cohen_kappa(list(zip(first, second, strict=True)))
        assert kappa == pytest.approx(cohen_kappa_score(first, second))
    assert cohen_kappa([("right", "right"), ("wrong", "wrong")]) == 1
    assert cohen_kappa([("right", "right")] * 3) is None
    assert cohen_kappa([]) is None


def write_answers(path: Path, run: RunFolder, reviewer: str, answers: list[str]) -> Path:
    review = sample_review(run, 9, 0)
    verdicts = {
        item.id: {"answer": answer, "span": span_name(item.decision)}
        for item, answer in zip(review.items, answers, strict=False)
    }
    identity = {"fingerprint": review.fingerprint, "inputs_sha256": review.inputs_sha256, "n": 9, "seed": 0}
    path.write_text(json.dumps({**identity, "reviewer": reviewer, "verdicts": verdicts}))
    return path


def test_audit_merges_the_files_of_reviewers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path)
    files = [
        write_answers(tmp_path / "a.json", run, "Ada", ["right"] * 8 + ["wrong"]),
        write_answers(tmp_path / "b.json", run, "Bo", ["right"] * 7 + ["wrong"] * 2),
        write_answers(tmp_path / "c.json", run, "", ["wrong"] + ["right"] * 7),
    ]
    words = ["audit", str(run.root), "--verdicts", *map(str, files)]
    assert main([*words, "--json", "-"]) == 0
    agreement = json.loads(capsys.readouterr().out)["agreement"]
    assert agreement["reviewers"] == {"Ada": 9, "Bo": 9, str(files[2]): 8}
    assert [(pair["spans"], pair["agreed"]) for pair in agreement["pairs"]] == [(9, 8), (8, 7), (8, 6)]
    kappas = [pair["kappa"] for pair in agreement["pairs"]]
    assert agreement["mean_kappa"] == pytest.approx(sum(kappas) / 3)
    assert len(agreement["disagreements"]) == 2
    assert set(agreement["disagreements"][0]["answers"].values()) == {"right", "wrong"}
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "9 of 9 spans answered" in out
    assert "mean kappa" in out
    assert "2 spans with different answers:" in out
    assert "Ada right, Bo right" in out
    other = json.loads(files[1].read_text()) | {"seed": 1, "verdicts": {}}
    files[1].write_text(json.dumps(other))
    assert main(words) == 2
    assert "is about another sample (n 9, seed 1)" in capsys.readouterr().err


def test_a_file_of_answers_counts_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path)
    ada = write_answers(tmp_path / "a.json", run, "Ada", ["right"] * 9)
    copy = write_answers(tmp_path / "b.json", run, "Ada", ["right"] * 9)
    words = ["audit", str(run.root), "--verdicts", str(ada)]
    assert main([*words, str(run.root / "../a.json")]) == 2
    assert "a.json: is given twice" in capsys.readouterr().err
    assert main([*words, str(copy)]) == 2
    assert f"b.json: has the same reviewer and answers as {ada}" in capsys.readouterr().err
    write_answers(copy, run, "Ada", ["wrong"])
    assert main([*words, str(copy)]) == 0
    assert f"{ada} and {copy} have the same reviewer, Ada, and different answers" in capsys.readouterr().err


def test_a_rate_without_answers_is_not_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path)
    review = sample_review(run, 9, 0)
    for answers in (
        ["right" if item.stratum == "kept" else "unsure" for item in review.items],
        ["unsure" if item.stratum == "kept" else "wrong" for item in review.items],
        ["wrong" if item.stratum == "kept" else "unsure" for item in review.items],
    ):
        path = write_answers(tmp_path / "a.json", run, "Ada", answers)
        assert main(["audit", str(run.root), "--verdicts", str(path)]) == 0
        out = capsys.readouterr().out
        assert "not known" in out
        assert "nan" not in out


def sheet_of(run: RunFolder) -> dict[str, Any]:
    review = sample_review(run, 9, 0)
    items = [
        {
            "id": item.id,
            "span": span_name(item.decision),
            "source": "made",
            "video_id": "<b>&",
            "where": "0 to 2 s",
            "stratum": item.stratum,
            "score": "",
        }
        for item in review.items
    ]
    shown = [item | {"clip": f"clips/{item['id']}.mp4"} for item in items[:-1]]
    identity = {
        "fingerprint": review.fingerprint,
        "inputs_sha256": review.inputs_sha256,
        "n": 9,
        "seed": 0,
        "stages": STAGES,
    }
    return {**identity, "items": [*shown, items[-1]]}


def test_label_studio_tasks_come_back_as_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path)
    out = tmp_path / "review"
    out.mkdir()
    sheet = sheet_of(run)
    sheet["items"][0] |= {"score": "5.4, required >= 20"}
    write_label_studio(out, sheet, "my review?#")
    tasks = json.loads((out / "label_studio_tasks.json").read_text())
    assert len(tasks) == 8, "a span that cannot be shown is no task"
    assert tasks[0]["data"]["video"] == "/data/local-files/?d=my%20review%3F%23/clips/0000.mp4"
    config = ET.parse(out / "label_studio_config.xml").getroot()
    values = {
        element.get("value", "").removeprefix("$") for element in config.iter() if "$" in element.get("value", "")
    }
    assert values <= tasks[0]["data"].keys(), "the interface shows fields that every task has"
    controls = {element.get("name"): element for element in config.iter("Choices")}
    assert [choice.get("value") for choice in controls["answer"]] == list(ANSWERS)
    follow_up = config.find("View[@visibleWhen]")
    assert follow_up is not None
    assert [element.tag for element in follow_up] == ["Header", "Choices"], "the heading is hidden with its choices"
    facts = [task["data"]["facts"].partition("; score ")[2] for task in tasks]
    assert facts == ["5.4, required >= 20", *[""] * 7]

    def annotate(answer: str, by: object, stage: str | None = None) -> dict[str, Any]:
        chosen = [("answer", answer)] + ([("stage", stage)] if stage else [])
        result = [
            {"from_name": name, "to_name": "video", "type": "choices", "value": {"choices": [value]}}
            for name, value in chosen
        ]
        return {"id": 1, "completed_by": by, "was_cancelled": False, "result": result}

    for number, task in enumerate(tasks):
        second = annotate("wrong", {"id": 2, "email": "bo@example.org"}, "faces")
        task |= {"id": number, "annotations": [annotate("right", 1), second], "predictions": []}
    tasks[0]["annotations"][0]["was_cancelled"] = True
    export = tmp_path / "export.json"
    export.write_text(json.dumps(tasks))
    words = ["review", str(run.root), "--from-label-studio", str(export), "--out", str(tmp_path / "answers")]
    assert main(words) == 0
    paths = [Path(line) for line in capsys.readouterr().out.split()]
    answers = {file.reviewer: file.verdicts for file in (read_verdicts(path, run) for path in paths)}
    assert {name: len(verdicts) for name, verdicts in answers.items()} == {"annotator 1": 7, "bo@example.org": 8}
    assert {verdict.stage for verdict in answers["bo@example.org"].values()} == {"faces"}


def make_task(run: RunFolder, answer: str = "right", **values: Any) -> dict[str, Any]:
    """Return a task of an export with one annotation; `values` replace fields of the annotation or of its data."""
    review = sample_review(run, 9, 0)
    data = {"avf_id": "0000", "avf_span": span_name(review.items[0].decision), "avf_n": 9, "avf_seed": 0}
    data |= {"avf_fingerprint": review.fingerprint, "avf_inputs_sha256": review.inputs_sha256}
    annotation = {"completed_by": 1, "result": [{"from_name": "answer", "value": {"choices": [answer]}}]}
    return {
        "data": data | {name: value for name, value in values.items() if name in data},
        "annotations": [annotation | {name: value for name, value in values.items() if name not in data}],
    }


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"result": None}, "result: is not a list of objects"),
        ({"result": [1]}, "result: is not a list of objects"),
        ({"result": [{"value": "right"}]}, "value: is not an object"),
        ({"result": [{"value": {"choices": "right"}}]}, "choices: is not a list of texts"),
        ({"completed_by": [1]}, "completed_by: is not a number"),
        ({"avf_id": [0]}, "data: avf_id: is not a text"),
        ({"avf_fingerprint": ["f"]}, "data: avf_fingerprint: is not a text"),
        ({"avf_n": float("inf")}, "data: avf_n: is not a number"),
    ],
)
def test_a_damaged_task_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], values: dict[str, Any], message: str
) -> None:
    run = make_run(tmp_path)
    tasks = [make_task(run), make_task(run, **values)]
    assert f"export.json: task 2: {message}" in refusal_of(run, tasks, tmp_path, capsys)


@pytest.mark.parametrize("annotations", [None, "none", [None]])
def test_damaged_annotations_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], annotations: object) -> None:
    run = make_run(tmp_path)
    tasks = [make_task(run) | {"annotations": annotations}]
    assert "task 1: annotations: is not a list of objects" in refusal_of(run, tasks, tmp_path, capsys)


def test_answers_that_cannot_be_used_are_refused_before_a_file_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path)
    different = [make_task(run), make_task(run, "wrong")]
    assert "task 2: annotator 1 gave two different answers to" in refusal_of(run, different, tmp_path, capsys)
    other_run = [make_task(run, avf_fingerprint="other")]
    assert "export.json: holds answers about a run with other settings" in refusal_of(run, other_run, tmp_path, capsys)
    (tmp_path / "o").mkdir()
    (tmp_path / "o/mine.txt").touch()
    (tmp_path / "export.json").write_text(json.dumps([make_task(run), make_task(run)]))
    words = ["review", str(run.root), "--from-label-studio", str(tmp_path / "export.json"), "--out"]
    assert main([*words, str(tmp_path / "o")]) == 2
    assert "o: not a new or empty folder" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "new")]) == 0, "the same answer twice is no fault"


def refusal_of(run: RunFolder, tasks: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Import an export that is refused, and assert that nothing is written; return the message."""
    (tmp_path / "export.json").write_text(tasks if isinstance(tasks, str) else json.dumps(tasks))
    words = ["review", str(run.root), "--from-label-studio", str(tmp_path / "export.json"), "--out"]
    assert main([*words, str(tmp_path / "o")]) == 2
    assert not (tmp_path / "o").exists()
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("{}", "is no list of tasks"),
        ('[{"data": {"image": "x"}}]', "task 1: has no data of a review"),
        ("[]", "no task has an answer"),
    ],
)
def test_other_files_are_no_export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    run = make_run(tmp_path)
    assert message in refusal_of(run, content, tmp_path, capsys)
