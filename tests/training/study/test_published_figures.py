"""Every shipped study, its runs replaced by a stub, shows each published figure that belongs beside its rows."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from avf_shards.schema.versions import stamp
from avf_training.config.pretrain import FOLDER
from avf_training.evaluation.results import write_predictions
from avf_training.evaluation.scoring import Predictions, concat_predictions, score_predictions
from avf_training.study import report
from avf_training.study.plan import Cell, Matrix, Study, StudyInputs, load_study, study_matrix
from avf_training.study.report import write_report
from avf_training.study.results import cell_predictions, comparisons, result_lines
from avf_training.tasks.catalog import Dataset
from avf_training.tasks.published import PublishedFigure, published_figures

STUDIES = sorted(path.stem for path in (FOLDER / "study").glob("*.yaml") if path.stem != "it_learns")
CLIPS = 30  # of each fold, three of each person
FOLDS = 2


def stub_predictions(cell: Cell) -> Predictions:
    """Return predictions for clips of a fold; each row of a study is right on other clips."""
    data: Dataset = cell.data
    random = np.random.default_rng([len(cell.row), sum(map(ord, cell.row)), cell.fold])
    keys = tuple(f"{data.name}-{cell.fold}-{clip}" for clip in range(CLIPS))
    if data.task == "dimensions":
        truth_ND = np.random.default_rng(cell.fold).normal(size=(CLIPS, len(data.dimensions)))
        return Predictions(keys=keys, truth=truth_ND, scores_NJ=truth_ND + random.normal(size=truth_ND.shape))
    truth_N = np.arange(CLIPS) % len(data.labels)
    scores_NJ = random.dirichlet(np.ones(len(data.labels)), CLIPS)
    scores_NJ[np.arange(CLIPS), truth_N] += 0.3
    return Predictions(keys=keys, truth=truth_N.astype(float), scores_NJ=scores_NJ / scores_NJ.sum(1, keepdims=True))


def stub_study(study: Study, folder: Path) -> tuple[Matrix, SimpleNamespace]:
    """Write the results of all runs of a study; return its matrix and its shards."""
    starts = {row.start: folder / row.start for row in study.rows.values() if row.start}
    inputs = StudyInputs(shards=["L"], unlabelled=["U"], starts=starts, folds_of=dict.fromkeys(study.datasets, FOLDS))
    matrix = study_matrix(study, folder, inputs)
    for cell in matrix.cells:
        cell.out.mkdir(parents=True, exist_ok=True)
        for protocol in ("test_best", "last"):
            path = cell.out / f"predictions/{protocol}.json"
            write_predictions(path, SimpleNamespace(data=cell.data), stub_predictions(cell))
        result = {"selection_metric": "WAR"}
        (cell.out / "result.json").write_text(json.dumps(stamp(result, "test result")))
        (cell.out / "metrics.jsonl").write_text("")
    units = {
        f"{cell.data.name}-{cell.fold}-{clip}": f"{cell.fold}-{clip // 3}"
        for cell in matrix.cells
        for clip in range(CLIPS)
    }
    return matrix, SimpleNamespace(units=lambda data: units)


def expected_figures(study: Study, matrix: Matrix) -> list[PublishedFigure]:
    """Return the figures that a reader of the papers would put beside the study's rows."""
    inputs = {"av": "A+V", "a": "A", "v": "V"}
    expected = []
    for figure in published_figures():
        rows = [study.rows[cell.row] for cell in matrix.cells if cell.data.name == figure.dataset]
        if not rows:
            continue
        tables = {row.published_as for row in rows if row.published_as}
        results = re.fullmatch(r"(Table ([7-9]|1\d|25|26))|HiCMAE Table ([2-9]|1[0-2])", figure.table)
        in_tables = figure.table in tables if tables else results is not None
        of_any_input = re.fullmatch(r"Table 2[0-6]", figure.table) is not None
        if in_tables and (of_any_input or figure.modality in {inputs[row.modalities] for row in rows}):
            expected.append(figure)
    return expected


def shown_figures(page: str, dataset: str) -> dict[tuple[str, str, str], dict[str, str]]:
    """Return (method, modality, table) -> what a page shows under each column head, for a data set."""
    section = re.split(r"<h2 ", page.split(f'<h2 id="{dataset}">')[1])[0]
    figures: dict[tuple[str, str, str], dict[str, str]] = {}
    for table in section.split("<thead>")[1:]:
        heads = [re.sub(r"<[^>]+>", "", head) for head in re.findall(r"<th scope=\"col\".*?</th>", table)]
        for row in re.findall(r'<tr class="paper">(.*?)</tr>', table):
            cells = [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<t[dh].*?</t[dh]>", row)]
            matched = re.fullmatch(r"(.*) \((A|V|A\+V)\)", cells[0])
            assert matched is not None
            published = cells[1].removeprefix("published, ").partition(";")[0]
            name = matched[1].replace("&#39;", "'").replace("&amp;", "&"), matched[2], published
            figures.setdefault(name, {}).update(zip(heads[2:], cells[2:], strict=False))
    return figures


@pytest.mark.parametrize("name", STUDIES)
def test_each_published_figure_stands_on_the_page(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_feature_charts", lambda *arguments: [])
    study = load_study(name)
    matrix, shards = stub_study(study, tmp_path)
    page = write_report(study, matrix, comparisons(study, matrix, shards), shards, tmp_path).read_text()
    expected = expected_figures(study, matrix)
    assert expected, "a shipped study stands beside a table of the papers"
    for figure in expected:
        shown = shown_figures(page, figure.dataset)[figure.method, figure.modality, figure.table]
        for metric, value in (*figure.scores.items(), *figure.per_label.items()):
            assert shown[metric.replace("_", " ")] == f"{value:.2f}", (figure, metric)
        if figure.pretraining_hours is not None:
            assert f"{figure.pretraining_hours:g} h of pre-training" in page
    for dataset in {cell.data.name for cell in matrix.cells}:
        assert any(figure.dataset == dataset for figure in expected), f"{dataset} has no figure beside it"
    for row in study.rows.values():
        assert row.published_as is None or any(figure.table == row.published_as for figure in expected), row


@pytest.mark.parametrize("name", STUDIES)
def test_every_run_trains_on_whole_folds_as_the_papers_did(name: str, tmp_path: Path) -> None:
    study = load_study(name)
    starts = {row.start: tmp_path for row in study.rows.values() if row.start}
    inputs = StudyInputs(shards=["L"], unlabelled=["U"], starts=starts, folds_of=dict.fromkeys(study.datasets, 1))
    for job in study_matrix(study, tmp_path, inputs).jobs:
        assert ("validation_share=0" in job.argv) == (job.stage != "pretrain")


def test_a_difference_of_leave_one_subject_out_is_the_difference_of_the_table(tmp_path: Path) -> None:
    study = load_study_of("casme2")
    matrix, shards = stub_study(study, tmp_path)
    (comparison,) = comparisons(study, matrix, shards)
    metric = comparison.metric
    line_of = {line.row: line for line in result_lines(study, matrix, "test_best")}
    table = line_of["large"].mean(metric) - line_of["small"].mean(metric)
    assert comparison.differences == pytest.approx((table,)), "one difference, of all subjects together"
    assert comparison.paired.difference == pytest.approx(table)
    folds = [cell_predictions(cell, "test_best") for cell in matrix.cells if cell.row == "large"]
    data = matrix.cells[0].data
    pooled = score_predictions(data, concat_predictions(folds))[metric].value
    means = np.mean([score_predictions(data, fold)[metric].value for fold in folds])
    assert line_of["large"].mean(metric) == pytest.approx(pooled)
    assert pooled != pytest.approx(means, abs=1e-4), "the mean over subjects is another number"


def load_study_of(dataset: str) -> Study:
    """Return a study of two rows on a data set."""
    from avf_training.study.plan import StudyRow

    rows = {
        "small": StudyRow(recipe="avfmaepp_b", stages=("finetune",)),
        "large": StudyRow(recipe="avfmaepp_l", stages=("finetune",), without="small"),
    }
    return Study(title="Two", rows=rows, datasets=(dataset,), selected_by="test_best")
