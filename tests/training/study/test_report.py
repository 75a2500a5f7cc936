"""The page of a study: percent everywhere, intervals over people, charts that are drawn, no findings of axe."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from avf_shards.schema.versions import stamp
from avf_training.evaluation.results import write_predictions
from avf_training.evaluation.scoring import Predictions
from avf_training.finetuning.model_selection import EpochScores
from avf_training.study import report
from avf_training.study.charts import epochs_chart, loss_chart
from avf_training.study.plan import Cell, Matrix, Study, StudyRow
from avf_training.study.report import write_report
from support.browser import open_page, serious_findings
from support.labelled import make_dataset

LABELS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
PEOPLE, CLIPS = 8, 14  # people in each fold, clips of each person


def write_run(out: Path, cell_data: Any, seed: int, skill: float) -> None:
    """Write the files of a finished run whose predictions are right with a chance that grows with `skill`."""
    random = np.random.default_rng(seed)
    keys = tuple(f"{out.name}-p{person}-{clip}" for person in range(PEOPLE) for clip in range(CLIPS))
    truth_N = np.arange(len(keys)) % len(LABELS)
    scores_NJ = random.dirichlet(np.ones(len(LABELS)), len(keys))
    scores_NJ[np.arange(len(keys)), truth_N] += skill
    scores_NJ /= scores_NJ.sum(1, keepdims=True)
    predictions = Predictions(keys=keys, truth=truth_N.astype(float), scores_NJ=scores_NJ)
    write_predictions(out / "predictions/validation.json", SimpleNamespace(data=cell_data), predictions)
    (out / "result.json").write_text(json.dumps(stamp({"selection_metric": "WAR"}, "test result")))
    losses = 2 * np.exp(-np.arange(300) / 40) + 0.05 * random.standard_normal(300) + 0.3
    rows = [json.dumps(stamp({"step": step, "loss": loss}, "step metrics")) for step, loss in enumerate(losses)]
    (out / "metrics.jsonl").write_text("".join(f"{row}\n" for row in rows))
    epochs = [
        EpochScores(
            step=10 * epoch,
            epoch=epoch,
            scores={"validation": {"WAR": 0.05 * epoch}, "test_best": {"WAR": 0.04 * epoch}},
        )
        for epoch in range(1, 9)
    ]
    (out / "validation.jsonl").write_text("".join(f"{row.to_json()}\n" for row in epochs))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of a study of two rows on two folds, without charts of features."""
    folder = tmp_path_factory.mktemp("study")
    data = make_dataset(labels=LABELS, title="Acted feelings")
    rows = {
        name: StudyRow(recipe="nano", stages=("finetune",), swept_from="small", point={"train_share": share})
        for name, share in (("both", 0.125), ("<i>face", 1.0))
    }
    study = Study(title="Small & quick", rows=rows, datasets=("lab",))
    cells = []
    for number, row in enumerate(rows):
        for fold in (1, 2):
            cell = Cell(row=row, data=data, fold=fold, seed=0, out=folder / f"run-{number}-{fold}")
            cell.out.mkdir()
            write_run(cell.out, data, 10 * number + fold, 0.1 + 0.2 * number)
            cells.append(cell)
    people = {
        f"{cell.out.name}-p{person}-{clip}": f"lab/{cell.fold}-{person}"
        for cell in cells
        for person in range(PEOPLE)
        for clip in range(CLIPS)
    }
    shards = SimpleNamespace(units=lambda data: people)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "_feature_charts", lambda *arguments: [])
        return write_report(study, Matrix(cells=tuple(cells), jobs=()), [], shards, folder)


def test_scores_are_percent_and_intervals_are_over_people(page: Path) -> None:
    text = page.read_text()
    assert "224 test clips, 16 people" in text
    assert "intervals are over people, each with all their test clips" in text
    values = [float(value) for value in re.findall(r'<td class="n">([\d.]+)</td><td>[\d.]+ to [\d.]+</td>', text)]
    assert len(values) == 12, "six metrics of two rows"
    assert max(values) > 20, "percent, not shares"
    assert "<i>face" not in text
    assert "small: UAR by train_share" in text
    assert "https://" not in text.split("<script>")[0]


@pytest.mark.browser
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_every_chart_is_drawn_and_axe_finds_nothing_serious(page: Path, scheme: str, width: int) -> None:
    with open_page(page, scheme=scheme, width=width) as opened:
        opened.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        charts = opened.locator(".chart")
        for number in range(charts.count()):
            charts.nth(number).scroll_into_view_if_needed()
            opened.wait_for_function("n => document.querySelectorAll('.chart')[n].dataset.drawn === ''", arg=number)
        assert charts.count() == 2 + 2 * (5 + 2), "all rows and the curve of the sweep, then each row"
        assert opened.locator(".chart .picture", has_text="cannot be drawn").count() == 0
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
        assert serious_findings(opened) == []


def test_a_loss_that_is_not_finite_is_left_out() -> None:
    chart = loss_chart([{"step": 0, "loss": 2.0}, {"step": 1, "loss": None}, {"step": 2, "loss": 1.0}])
    assert chart is not None
    raw, smoothed = (layer["data"]["values"] for layer in chart.spec["layer"])
    assert [row["step"] for row in raw] == [1, 3]
    assert smoothed[0] == {"step": 1, "loss": 2.0}
    assert loss_chart([]) is None, "a chart without data would have axes without end"
    assert epochs_chart([], "WAR") is None
