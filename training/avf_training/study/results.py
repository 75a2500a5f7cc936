"""Results of a study: scores per row and data set over folds and seeds, and comparisons of rows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from avf_shards.schema.versions import stamp

from avf_training.evaluation.results import PREDICTIONS, RESULT, read_predictions
from avf_training.evaluation.scoring import Predictions, score_predictions
from avf_training.finetuning.model_selection import PROTOCOLS, SelectionProtocol
from avf_training.study.plan import Cell, Matrix, Study


@dataclass(frozen=True, kw_only=True)
class ResultLine:
    """Scores of one row on one data set by one protocol."""

    row: str  # name of the row in the study
    dataset: str  # name of the data set that is tested
    protocol: SelectionProtocol  # by which the epoch of each run was selected
    per_seed: Mapping[str, tuple[float, ...]]  # metric -> a value for each seed, over all its folds
    done: int  # tested runs
    planned: int  # runs of the study

    def mean(self, metric: str) -> float | None:
        """Return the mean over seeds, or None where no run is done."""
        values = self.per_seed.get(metric, ())
        return float(np.mean(values)) if values else None

    def deviation(self, metric: str) -> float | None:
        """Return the standard deviation over seeds, or None with fewer than two."""
        values = self.per_seed.get(metric, ())
        return float(np.std(values, ddof=1)) if len(values) > 1 else None


@dataclass(frozen=True, kw_only=True)
class RowComparison:
    """A row compared with the row that lacks one thing of it."""

    row: str  # name of the row
    without: str  # name of the row that lacks one thing of it
    dataset: str  # name of the data set that is tested
    metric: str  # first metric of the data set
    differences: tuple[float, ...]  # of the same fold and seed: row minus `without`; 1 is 100 percent

    @property
    def won(self) -> int:
        """Number of differences in which the row is better."""
        return sum(difference > 0 for difference in self.differences)

    @property
    def sentence(self) -> str:
        """A sentence that says whether the thing that the other row lacks helps."""
        mean, count = float(np.mean(self.differences)), len(self.differences)
        verdict = "beats" if self.won == count else "does not beat" if self.won * 2 <= count else "mostly beats"
        points = f"{100 * mean:+.1f} points"
        return (
            f"{self.row} {verdict} {self.without} on {self.dataset}: {self.metric} {points} on average, "
            f"above in {self.won} of {count} (same fold and seed)"
        )


def cell_predictions(cell: Cell, protocol: SelectionProtocol) -> Predictions | None:
    """Return the test predictions of a run, or None where it is not done or the protocol selected no model."""
    path = cell.out / PREDICTIONS / f"{protocol}.json"
    return read_predictions(path) if (cell.out / RESULT).is_file() and path.is_file() else None


def concat_predictions(parts: Sequence[Predictions]) -> Predictions:
    """Concatenate the predictions of several folds; leave-one-subject-out is scored on all folds together."""
    return Predictions(
        keys=tuple(key for part in parts for key in part.keys),
        truth=np.concatenate([part.truth for part in parts]),
        scores_NJ=np.concatenate([part.scores_NJ for part in parts]),
        unreadable=tuple(key for part in parts for key in part.unreadable),
    )


def result_lines(study: Study, matrix: Matrix, protocol: SelectionProtocol) -> list[ResultLine]:
    """Return every row on every data set. Scores are means over folds, as in the papers."""
    lines = []
    for row in study.rows:
        for dataset in dict.fromkeys(cell.data.name for cell in matrix.cells):
            cells = [cell for cell in matrix.cells if cell.row == row and cell.data.name == dataset]
            per_seed: dict[str, list[float]] = {}
            done = 0
            for seed in study.seeds:
                folds = [cell_predictions(cell, protocol) for cell in cells if cell.seed == seed]
                tested = [predictions for predictions in folds if predictions is not None]
                done += len(tested)
                for metric, value in (_mean_over_folds(cells[0], tested) if tested else {}).items():
                    per_seed.setdefault(metric, []).append(value)
            lines.append(
                ResultLine(
                    row=row,
                    dataset=dataset,
                    protocol=protocol,
                    per_seed={metric: tuple(values) for metric, values in per_seed.items()},
                    done=done,
                    planned=len(cells),
                )
            )
    return lines


def _mean_over_folds(cell: Cell, folds: Sequence[Predictions]) -> dict[str, float]:
    if cell.data.split == "leave_one_subject_out":
        # A fold is one subject, who may lack a class: scores of single folds are not defined (MEGC 2019).
        folds = [concat_predictions(folds)]
    scored = [score_predictions(cell.data, fold) for fold in folds]
    means: dict[str, float] = {}
    for metric in scored[0]:
        values = [scores[metric].value for scores in scored]
        defined = [value for value in values if value is not None]
        if len(defined) == len(values):
            means[metric] = float(np.mean(defined))
    return means


def comparisons(study: Study, matrix: Matrix, protocol: SelectionProtocol) -> list[RowComparison]:
    """Return a comparison for each row that names a row `without`, on each data set where both rows are done."""
    results = []
    cell_of = {(cell.row, cell.data.name, cell.fold, cell.seed): cell for cell in matrix.cells}
    for name, row in study.rows.items():
        if row.without is None:
            continue
        for dataset in dict.fromkeys(cell.data.name for cell in matrix.cells):
            cells = [cell for cell in matrix.cells if (cell.row, cell.data.name) == (name, dataset)]
            metric = next(cell.data.metrics[0] for cell in matrix.cells if cell.data.name == dataset)
            differences = []
            for cell in cells:
                baseline = cell_of[row.without, dataset, cell.fold, cell.seed]
                value, reference = (_score(each, protocol, metric) for each in (cell, baseline))
                if value is not None and reference is not None:
                    differences.append(value - reference)
            if differences:
                results.append(
                    RowComparison(
                        row=name, without=row.without, dataset=dataset, metric=metric, differences=tuple(differences)
                    )
                )
    return results


def _score(cell: Cell, protocol: SelectionProtocol, metric: str) -> float | None:
    predictions = cell_predictions(cell, protocol)
    return None if predictions is None else score_predictions(cell.data, predictions)[metric].value


def summary(study: Study, matrix: Matrix) -> dict[str, Any]:
    """Return all results for study.json."""
    rows = [
        {
            "row": line.row,
            "dataset": line.dataset,
            "protocol": protocol,
            "done": line.done,
            "planned": line.planned,
            "per_seed": {metric: list(values) for metric, values in line.per_seed.items()},
        }
        for protocol in PROTOCOLS
        for line in result_lines(study, matrix, protocol)
    ]
    sentences = [comparison.sentence for comparison in comparisons(study, matrix, "validation")]
    values = {"title": study.title, "note": study.note, "rows": rows, "compared": sentences}
    return stamp(values, "study results")


def summary_as_json(values: Mapping[str, Any]) -> bytes:
    """Return a summary as the bytes of study.json."""
    return (json.dumps(values, indent=1, sort_keys=True) + "\n").encode()
