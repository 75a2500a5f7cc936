"""The page of a study: its results beside the papers', and for each row the charts behind its numbers.

All scores on the page are percent, and all intervals are over people (evaluation/intervals.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from avf_shards.pages.render import make_page_environment
from avf_shards.schema.versions import read_json
from avf_shards.system import durable_io

from avf_training.config.finetune import SelectionProtocol
from avf_training.evaluation.intervals import MIN_UNITS, Interval, group_rows, metric_interval, unit_nouns
from avf_training.evaluation.metrics import MetricValue
from avf_training.evaluation.scoring import Predictions, concat_predictions, score_predictions
from avf_training.finetuning.finetune import best_folder
from avf_training.finetuning.model_selection import read_validation
from avf_training.study import charts
from avf_training.study.charts import Chart
from avf_training.study.plan import Cell, Matrix, Study
from avf_training.study.results import RowComparison, cell_predictions
from avf_training.study.sweep import swept_number
from avf_training.study.tables import PROTOCOL_TEXTS, dataset_table
from avf_training.tasks.catalog import Dataset
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.trainer.metrics_writer import METRICS, read_lines
from avf_training.trainer.run_folder import RESULT

PAGE = "report.html"
_MAX_TSNE_CLIPS = 300
_MIN_TSNE_CLIPS = 5  # fewer have no structure to see
_MAX_FOLD_FIGURES = 12


@dataclass(frozen=True, kw_only=True)
class _Panel:
    """The details of one row on one data set."""

    row: str  # name of the row in the study
    dataset: str  # name of the data set
    title: str  # of the data set
    sentence: str  # protocol, seed, folds and number of test clips
    scores: list[dict[str, str]]  # of each metric: name, value and interval in percent
    charts: list[Chart]  # in the order of the page
    folds: list[Chart]  # confusion of each fold; empty for a single fold
    first: dict[str, Any] | None  # the first metric of the data set, for the chart of all rows


def write_report(
    study: Study, matrix: Matrix, compared: Sequence[RowComparison], shards: LabelledShards, out: Path
) -> Path:
    """Write OUT/report.html, one file that needs no other, and return its path."""
    environment = make_page_environment(Path(__file__).parent / "templates")
    datasets = list(dict.fromkeys(cell.data.name for cell in matrix.cells))
    panels = [panel for row in study.rows for name in datasets if (panel := _panel(study, matrix, shards, row, name))]
    page = environment.get_template("study.html").render(
        study=study,
        done=sum((cell.out / RESULT).is_file() for cell in matrix.cells),
        planned=len(matrix.cells),
        protocols=list(PROTOCOL_TEXTS.values()),
        tables=[
            dataset_table(study, matrix, name)
            | {"chart": _scores_chart(matrix, name, panels), "curves": _curves(study, matrix, name, panels)}
            for name in datasets
        ],
        compared=[comparison.cells() for comparison in compared],
        protocol=PROTOCOL_TEXTS[study.selected_by][0],
        whole_folds=study.selected_by != "validation",
        panels=panels,
        min_units=MIN_UNITS,
    )
    durable_io.replace_file(out / PAGE, page.encode())
    return out / PAGE


def _scores_chart(matrix: Matrix, dataset: str, panels: Sequence[_Panel]) -> Chart | None:
    """Return the chart of all rows on a data set; None where no row has a score."""
    data = next(cell.data for cell in matrix.cells if cell.data.name == dataset)
    rows = [panel.first for panel in panels if panel.dataset == dataset and panel.first is not None]
    return charts.scores_chart(data.metrics[0], rows) if rows else None


def _curves(study: Study, matrix: Matrix, dataset: str, panels: Sequence[_Panel]) -> list[Chart]:
    """Return a curve for each row whose sweep varies one number, from two points with a score on."""
    data = next(cell.data for cell in matrix.cells if cell.data.name == dataset)
    scored = {panel.row: panel.first for panel in panels if panel.dataset == dataset and panel.first is not None}
    drawn = []
    for base in dict.fromkeys(row.swept_from for row in study.rows.values() if row.swept_from is not None):
        points = {name: row.point for name, row in study.rows.items() if row.swept_from == base and name in scored}
        setting = swept_number(list(points.values()))
        if setting is not None:
            values = [{"setting": point[setting], **(scored[name] or {})} for name, point in points.items()]
            values.sort(key=lambda each: each["setting"])
            drawn.append(charts.curve_chart(data.metrics[0], setting, base, values))
    return drawn


def _panel(study: Study, matrix: Matrix, shards: LabelledShards, row: str, dataset: str) -> _Panel | None:
    """Return the details of a row by the study's protocol, or by `last` where that selected no model."""
    cells = [cell for cell in matrix.cells if (cell.row, cell.data.name) == (row, dataset)]
    protocol: SelectionProtocol = study.selected_by
    tested = _collect_predictions(cells, protocol)
    if not tested:
        protocol = "last"
        tested = _collect_predictions(cells, protocol)
    if not tested:
        return None
    seed = tested[0][0].seed
    folds = [(cell, predictions) for cell, predictions in tested if cell.seed == seed]
    cell = folds[0][0]
    data, combined = cell.data, concat_predictions([predictions for _, predictions in folds])
    drawn, of_folds = _data_charts(data, [(cell.fold, predictions) for cell, predictions in folds], combined)
    curves = (
        charts.loss_chart(read_lines(cell.out / METRICS)),
        charts.epochs_chart(read_validation(cell.out), _selection_metric(cell)),
    )
    drawn += [*(chart for chart in curves if chart is not None), *_feature_charts(cell, shards, protocol)]
    unit_of = shards.units(data)
    estimates = _estimates(data, combined, unit_of)
    units = f"{len(group_rows(combined, unit_of))} {unit_nouns(combined, unit_of)[1]}"
    unreadable = f", {len(combined.unreadable)} unreadable" if combined.unreadable else ""
    numbers = ", ".join(str(cell.fold) for cell, _ in folds)
    name, meaning = PROTOCOL_TEXTS[protocol]
    sentence = f"{name} ({meaning}); seed {seed}, folds {numbers}: {len(combined.keys)} test clips"
    sentence += f"{unreadable}, {units}"
    first = estimates[data.metrics[0]]
    return _Panel(
        row=row,
        dataset=data.name,
        title=data.title,
        sentence=sentence,
        scores=[_as_cells(name, *values) for name, values in estimates.items()],
        charts=drawn,
        folds=of_folds,
        first=None if first[0].value is None else {"row": row, **_as_percent(*first)},
    )


def _collect_predictions(cells: Sequence[Cell], protocol: SelectionProtocol) -> list[tuple[Cell, Predictions]]:
    pairs = [(cell, cell_predictions(cell, protocol)) for cell in cells]
    return [(cell, predictions) for cell, predictions in pairs if predictions is not None]


def _estimates(
    data: Dataset, predictions: Predictions, unit_of: Mapping[str, str]
) -> dict[str, tuple[MetricValue, Interval]]:
    """Return value and interval of every metric by name."""
    return {
        name: (score, metric_interval(data, predictions, name, unit_of))
        for name, score in score_predictions(data, predictions).items()
    }


def _as_percent(score: MetricValue, interval: Interval) -> dict[str, float | None]:
    values = {"value": score.value, "low": interval.low, "high": interval.high}
    return {name: None if value is None else round(100 * value, 2) for name, value in values.items()}


def _as_cells(name: str, score: MetricValue, interval: Interval) -> dict[str, str]:
    if score.value is None:
        return {"name": name, "value": "undefined", "interval": score.undefined}
    if interval.low is None or interval.high is None:
        return {"name": name, "value": f"{100 * score.value:.1f}", "interval": interval.reason}
    ends = f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"
    return {"name": name, "value": f"{100 * score.value:.1f}", "interval": ends}


def _data_charts(
    data: Dataset, folds: list[tuple[int, Predictions]], combined: Predictions
) -> tuple[list[Chart], list[Chart]]:
    """Return the charts of the predictions: of all folds together, and of each fold where there are several."""
    if data.task == "dimensions":
        columns = enumerate(data.dimensions)
        return [charts.scatter_chart(name, combined.truth[:, d], combined.scores_NJ[:, d]) for d, name in columns], []
    title = "all folds" if len(folds) > 1 else "one fold"
    together = [
        charts.confusion_chart(title, data.labels, combined.counts()),
        charts.recalls_chart(data.labels, combined.counts()),
        charts.reliability_chart(combined),
    ]
    single = [
        charts.confusion_chart(f"fold {fold}", data.labels, predictions.counts())
        for fold, predictions in folds[:_MAX_FOLD_FIGURES]
    ]
    return together, single if len(folds) > 1 else []


def _selection_metric(cell: Cell) -> str:
    return str(read_json(cell.out / RESULT, "test result")["selection_metric"])


def _feature_charts(cell: Cell, shards: LabelledShards, protocol: SelectionProtocol) -> list[Chart]:
    """Return the t-SNE of the test clips' features, one window of each clip."""
    # Both load the network code, which a page without charts does not need.
    from avf_training.finetuning.reevaluate import load_run
    from avf_training.inference.feature_model import FeatureModel

    if cell.data.task == "dimensions":
        return []
    _, task = load_run(cell.out, shards)
    model = FeatureModel(best_folder(cell.out, protocol))
    predictions = cell_predictions(cell, protocol)
    assert predictions is not None
    step = max(1, len(task.test) // _MAX_TSNE_CLIPS)
    keys = [key for key in task.test if key not in predictions.unreadable][::step]
    if len(keys) < _MIN_TSNE_CLIPS:
        return []
    features_of: dict[str, list[npt.NDArray[np.float32]]] = {}
    for key in keys:
        files = shards.read(task.index_of[key])
        (features,) = model.features(files, [model.windows(1, 1.0)[0]])
        for kind, value in (("video", features.video), ("audio", features.audio), ("fused", features.fused)):
            if value is not None:
                features_of.setdefault(kind, []).append(value.cpu().numpy())
    if len(features_of) == 2:  # one modality: the head's input is its normalized mean, which gives the same figure
        features_of.pop("fused")
    stacked = {kind: np.stack(values) for kind, values in features_of.items()}
    truth = [int(task.truth[key]) for key in keys]
    return [charts.tsne_chart(kind, values, truth, task.data.labels) for kind, values in stacked.items()]
