"""Tables of a study's page: each row of the study by protocol, then the papers' figures that belong beside it."""

from collections.abc import Sequence
from typing import Any

from avf_training.config.finetune import PROTOCOLS, SelectionProtocol
from avf_training.evaluation.metrics import recalls
from avf_training.evaluation.scoring import concat_predictions
from avf_training.study.plan import Cell, Matrix, Study
from avf_training.study.results import ResultLine, cell_predictions, result_lines
from avf_training.tasks.catalog import Dataset
from avf_training.tasks.published import PublishedFigure, published_figures

PROTOCOL_TEXTS: dict[SelectionProtocol, tuple[str, str]] = {
    "validation": ("validation", "epoch selected on a part of the training fold"),
    "test_best": ("test best", "epoch selected on the test clips, as the published numbers were"),
    "last": ("last epoch", "nothing is selected"),
}
# Tables that compare data, parts of the model or single modalities: each figure belongs beside every row.
_ABLATIONS = range(20, 27)
_HICMAE_RESULTS = range(2, 13)  # tables of results in the paper of HiCMAE
_MODALITIES = {"av": "A+V", "a": "A", "v": "V"}


def dataset_table(study: Study, matrix: Matrix, dataset: str) -> dict[str, Any]:
    """Return the table of a data set: three lines for each row, then the papers' figures."""
    data = next(cell.data for cell in matrix.cells if cell.data.name == dataset)
    figures = matching_figures(study, matrix, dataset)
    metrics = _metrics(data, figures)
    lines: dict[tuple[str, SelectionProtocol], ResultLine] = {
        (line.row, protocol): line
        for protocol in PROTOCOLS
        for line in result_lines(study, matrix, protocol)
        if line.dataset == dataset
    }
    rows = [
        {
            "row": row,
            "protocol": PROTOCOL_TEXTS[protocol][0],
            "cells": [_percent(lines[row, protocol], metric) for metric in metrics],
            "done": f"{lines[row, protocol].done} of {lines[row, protocol].planned}",
        }
        for row in study.rows
        for protocol in PROTOCOLS
        if (row, protocol) in lines
    ]
    papers = [
        {
            "method": figure.method,
            "modality": figure.modality,
            "table": figure.table,
            "cost": _cost(figure),
            "cells": [f"{figure.scores[metric]:.2f}" if metric in figure.scores else "" for metric in metrics],
        }
        for figure in figures
    ]
    recall_table = _recall_table(study, matrix, data, figures)
    return {
        "dataset": data.title,
        "name": dataset,
        "metrics": metrics,
        "rows": rows,
        "papers": papers,
        "recalls": recall_table,
    }


def matching_figures(study: Study, matrix: Matrix, dataset: str) -> list[PublishedFigure]:
    """Return the figures of a data set from the tables that the study's rows name, or else from tables of results.

    Of a table of results only the methods with the same input as a row of the study are of use.
    """
    names = {cell.row for cell in matrix.cells if cell.data.name == dataset}
    rows = [row for name, row in study.rows.items() if name in names]
    tables = {row.published_as for row in rows if row.published_as}
    modalities = {_MODALITIES[row.modalities] for row in rows}
    return [
        figure
        for figure in published_figures()
        if figure.dataset == dataset
        and (figure.table in tables if tables else _is_main_result(figure))
        and (figure.modality in modalities or _is_ablation(figure))
    ]


def _is_ablation(figure: PublishedFigure) -> bool:
    return not figure.table.startswith("HiCMAE") and int(figure.table.rpartition(" ")[2]) in _ABLATIONS


def _is_main_result(figure: PublishedFigure) -> bool:
    """Return whether a figure is from a table of results, not from one of the ablations (AVF-MAE++ 20 to 24)."""
    number = int(figure.table.rpartition(" ")[2])
    return number in _HICMAE_RESULTS if figure.table.startswith("HiCMAE") else number <= 19 or number in (25, 26)


def _metrics(data: Dataset, figures: Sequence[PublishedFigure]) -> list[str]:
    """Return the metrics of the table's columns: the data set's, each dimension's, and all that the papers print."""
    own: list[str] = list(data.metrics)
    own += [f"{metric} {name}" for metric in data.metrics if metric in ("PCC", "CCC") for name in data.dimensions]
    return list(dict.fromkeys([*own, *(metric for figure in figures for metric in figure.scores)]))


def _cost(figure: PublishedFigure) -> str:
    """Return what the paper prints of a row's cost, as text."""
    hours = "" if figure.pretraining_hours is None else f"{figure.pretraining_hours:g} h of pre-training"
    parameters = "" if figure.parameters_m is None else f"{figure.parameters_m:g} M parameters"
    return ", ".join(text for text in (hours, parameters) if text)


def _percent(line: ResultLine, metric: str) -> str:
    mean, deviation = line.mean(metric), line.deviation(metric)
    if mean is None:
        return "–"
    return f"{100 * mean:.2f}" + ("" if deviation is None else f" ± {100 * deviation:.2f}")


def _recall_table(
    study: Study, matrix: Matrix, data: Dataset, figures: Sequence[PublishedFigure]
) -> dict[str, Any] | None:
    """Return the recall of each class, of all folds together, beside the papers'; None where no paper prints them."""
    printed = [figure for figure in figures if figure.per_label]
    if not printed:
        return None
    rows = []
    for row in study.rows:
        cells = [cell for cell in matrix.cells if (cell.row, cell.data.name) == (row, data.name)]
        values = _row_recalls(study, cells)
        if values is not None:
            rows.append({"row": row, "cells": values})
    papers = [
        {
            "method": figure.method,
            "modality": figure.modality,
            "table": figure.table,
            "cells": [f"{figure.per_label[label]:.2f}" for label in data.labels],
        }
        for figure in printed
    ]
    return {"labels": data.labels, "rows": rows, "papers": papers}


def _row_recalls(study: Study, cells: Sequence[Cell]) -> list[str] | None:
    """Return the recalls of the first seed by the study's protocol, or of the last step; None where no run is done."""
    for protocol in dict.fromkeys((study.selected_by, "last")):
        tested = [cell_predictions(cell, protocol) for cell in cells if cell.seed == study.seeds[0]]
        parts = [predictions for predictions in tested if predictions is not None]
        if parts:
            values = recalls(concat_predictions(parts).counts())
            return ["–" if recall.value is None else f"{100 * recall.value:.2f}" for recall in values]
    return None
