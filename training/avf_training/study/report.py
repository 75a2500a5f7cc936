"""The page of a study: results beside the papers', and for each row what lies behind its numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from avf_shards import durable_io

from avf_training.evaluation.results import RESULT
from avf_training.evaluation.scoring import Predictions, bootstrap_interval, score_predictions
from avf_training.finetuning.finetune import best_folder
from avf_training.finetuning.model_selection import PROTOCOLS, SelectionProtocol, read_validation
from avf_training.study import plots
from avf_training.study.plan import Cell, Matrix, Study
from avf_training.study.results import ResultLine, cell_answers, comparisons, concat_predictions, result_lines
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.tasks.published import PublishedFigure, published_figures
from avf_training.trainer.metrics import METRICS, read_lines

PAGE = "report.html"
_MOST_CLIPS = 300  # of one t-SNE
_SHOWN: dict[SelectionProtocol, str] = {
    "validation": "validation (epoch selected on a part of the training fold)",
    "test_best": "test best (epoch selected on the test clips, as the published numbers were)",
    "last": "last epoch (nothing is selected)",
}


@dataclass(frozen=True, kw_only=True)
class _Panel:
    """What one row on one data set looks like from near."""

    row: str
    dataset: str
    sentence: str
    scores: list[tuple[str, str]]
    images: list[tuple[str, str]]


def write_report(study: Study, matrix: Matrix, shelf: LabelledShards, out: Path) -> Path:
    """OUT/report.html, one file that needs no other."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, trim_blocks=True
    )
    datasets = list(dict.fromkeys(cell.data.name for cell in matrix.cells))
    tables = [_table(study, matrix, name) for name in datasets]
    done = sum((cell.out / RESULT).is_file() for cell in matrix.cells)
    page = environment.get_template("study.html").render(
        study=study,
        done=done,
        wanted=len(matrix.cells),
        tables=tables,
        compared=[one.sentence for one in comparisons(study, matrix, "validation")],
        panels=[panel for row in study.rows for name in datasets if (panel := _panel(matrix, shelf, row, name))],
    )
    durable_io.replace_file(out / PAGE, page.encode())
    return out / PAGE


def _table(study: Study, matrix: Matrix, dataset: str) -> dict[str, Any]:
    data = next(cell.data for cell in matrix.cells if cell.data.name == dataset)
    shown = list(data.metrics) + [f"PCC {name}" for name in data.dimensions]
    found: dict[tuple[str, SelectionProtocol], ResultLine] = {
        (line.row, protocol): line
        for protocol in PROTOCOLS
        for line in result_lines(study, matrix, protocol)
        if line.dataset == dataset
    }
    rows = []
    for row in study.rows:
        for protocol in PROTOCOLS:
            line = found[row, protocol]
            cells = [_cell(line, metric) for metric in shown]
            done = f"{line.done} of {line.wanted}"
            rows.append({"row": row, "protocol": _SHOWN[protocol], "cells": cells, "done": done})
    figures = [one for one in published_figures() if one.dataset == dataset]
    named = {row.published_as for row in study.rows.values() if row.published_as}
    chosen = [one for one in figures if one.table in named] if named else [one for one in figures if _main(one)]
    papers = [
        {
            "method": one.method,
            "modality": one.modality,
            "table": one.table,
            "cells": [f"{one.scores[metric]:.2f}" if metric in one.scores else "" for metric in shown],
        }
        for one in chosen
    ]
    return {"dataset": data.title, "name": dataset, "metrics": shown, "rows": rows, "papers": papers}


def _main(figure: PublishedFigure) -> bool:
    """Of the tables of results, not of the ablations."""
    number = int(figure.table.rpartition(" ")[2])
    return not figure.table.startswith("HiCMAE") and (number <= 19 or number in (25, 26))


def _cell(line: ResultLine, metric: str) -> str:
    mean, spread = line.mean(metric), line.spread(metric)
    if mean is None:
        return "–"
    return f"{100 * mean:.2f}" + ("" if spread is None else f" ± {100 * spread:.2f}")


def _panel(matrix: Matrix, shelf: LabelledShards, row: str, dataset: str) -> _Panel | None:
    cells = [cell for cell in matrix.cells if (cell.row, cell.data.name) == (row, dataset)]
    protocol: SelectionProtocol = "validation"
    there = [(cell, answers) for cell in cells if (answers := cell_answers(cell, protocol)) is not None]
    if not there:
        protocol = "last"
        there = [(cell, answers) for cell in cells if (answers := cell_answers(cell, protocol)) is not None]
    if not there:
        return None
    first_seed = there[0][0].seed
    mine = [pair for pair in there if pair[0].seed == first_seed]
    data, whole = mine[0][0].data, concat_predictions([answers for _, answers in mine])
    images: list[tuple[str, str]] = []
    if data.task == "dimensions":
        images.append(("said over true", plots.scatter(data.dimensions, whole)))
    else:
        images += _of_classes([(cell.fold, answers) for cell, answers in mine], data.labels, whole)
    cell = mine[0][0]
    metric = _metric_of(cell)
    images.append(("curves", plots.curves(read_lines(cell.out / METRICS), read_validation(cell.out), metric)))
    images += _features(cell, shelf, protocol)
    unreadable = f", {len(whole.unreadable)} unreadable" if whole.unreadable else ""
    folds = ", ".join(str(cell.fold) for cell, _ in mine)
    sentence = f"{_SHOWN[protocol]}; seed {first_seed}, folds {folds}: {len(whole.keys)} test clips{unreadable}"
    return _Panel(row=row, dataset=data.title, sentence=sentence, scores=_scores(data, whole), images=images)


def _scores(data: Any, whole: Predictions) -> list[tuple[str, str]]:
    told = []
    for name, score in score_predictions(data, whole).items():
        between = bootstrap_interval(data, whole, name, resamples=500) if score.value is not None else None
        bounds = "" if between is None else f" [{between.low:.3f}, {between.high:.3f}]"
        told.append((name, f"undefined: {score.undefined}" if score.value is None else f"{score.value:.3f}{bounds}"))
    return told


def _of_classes(
    parts: list[tuple[int, Predictions]], names: tuple[str, ...], whole: Predictions
) -> list[tuple[str, str]]:
    images = []
    if len(parts) > 1:
        for fold, answers in parts[:12]:
            images.append((f"fold {fold}", plots.confusion(f"fold {fold}", names, answers.counts())))
    images.append(("all folds", plots.confusion("all folds" if len(parts) > 1 else "confusion", names, whole.counts())))
    images.append(("recalls", plots.recalls(names, whole.counts())))
    images.append(("reliability", plots.reliability(whole)[0]))
    return images


def _metric_of(cell: Cell) -> str:
    import json

    told: Mapping[str, Any] = json.loads((cell.out / RESULT).read_text("utf-8"))
    return str(told["selection_metric"])


def _features(cell: Cell, shelf: LabelledShards, protocol: SelectionProtocol) -> list[tuple[str, str]]:
    """t-SNE of the test clips' features, one window each."""
    from avf_training.finetuning.reevaluate import load_run
    from avf_training.inference.feature_model import FeatureModel

    if cell.data.task == "dimensions":
        return []
    _, task = load_run(cell.out, shelf)
    model = FeatureModel(best_folder(cell.out, protocol))
    answers = cell_answers(cell, protocol)
    assert answers is not None
    keys = [key for key in task.test if key not in answers.unreadable][:: max(1, len(task.test) // _MOST_CLIPS)]
    if len(keys) < 5:
        return []
    rows: dict[str, list[np.ndarray]] = {}
    for key in keys:
        files = shelf.read(task.index_of[key])
        (one,) = model.features(files, [model.windows(1, 1.0)[0]])
        for kind, value in (("video", one.video), ("audio", one.audio), ("fused", one.fused)):
            if value is not None:
                rows.setdefault(kind, []).append(value.cpu().numpy())
    if len(rows) == 2:  # one modality: what the head reads is its mean, normed
        rows.pop("fused")
    stacked = {kind: np.stack(values) for kind, values in rows.items()}
    truth = [int(task.truth[key]) for key in keys]
    return [("t-SNE of features", plots.tsne_plane(stacked, truth, task.data.labels))]
