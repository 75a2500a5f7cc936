"""What a study found: per row and data set, over folds and seeds, and each row beside the one that lacks one thing."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from avf_training.evaluation.results import PREDICTIONS, RESULT, read_predictions
from avf_training.evaluation.scoring import Predictions, score_predictions
from avf_training.finetuning.model_selection import SelectionProtocol
from avf_training.study.plan import Cell, Matrix, Study


@dataclass(frozen=True, kw_only=True)
class ResultLine:
    """One row on one data set by one protocol. per_seed: metric -> a value for each seed, folds taken together.

    folds, seeds: that are done, of how many.
    """

    row: str
    dataset: str
    protocol: SelectionProtocol
    per_seed: Mapping[str, tuple[float, ...]]
    done: int
    wanted: int

    def mean(self, metric: str) -> float | None:
        """Over seeds."""
        values = self.per_seed.get(metric, ())
        return float(np.mean(values)) if values else None

    def spread(self, metric: str) -> float | None:
        """Standard deviation over seeds; None with fewer than two."""
        values = self.per_seed.get(metric, ())
        return float(np.std(values, ddof=1)) if len(values) > 1 else None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A row beside the one without: differences of the same fold and seed. won: in how many it is above."""

    row: str
    without: str
    dataset: str
    metric: str
    differences: tuple[float, ...]

    @property
    def won(self) -> int:
        return sum(one > 0 for one in self.differences)

    @property
    def sentence(self) -> str:
        """Plainly, whether it helps."""
        mean, count = float(np.mean(self.differences)), len(self.differences)
        verdict = "beats" if self.won == count else "does not beat" if self.won * 2 <= count else "mostly beats"
        return (
            f"{self.row} {verdict} {self.without} on {self.dataset}: {self.metric} {mean:+.3f} on average, "
            f"above in {self.won} of {count} (same fold and seed)"
        )


def cell_answers(cell: Cell, protocol: SelectionProtocol) -> Predictions | None:
    """A finished cell's answers; None where it is not done, or the protocol chose nothing."""
    path = cell.out / PREDICTIONS / f"{protocol}.json"
    return read_predictions(path) if (cell.out / RESULT).is_file() and path.is_file() else None


def concat_predictions(parts: Sequence[Predictions]) -> Predictions:
    """Answers of several folds as one: leave-one-subject-out is scored so."""
    return Predictions(
        keys=tuple(key for part in parts for key in part.keys),
        truth=np.concatenate([part.truth for part in parts]),
        scores_NJ=np.concatenate([part.scores_NJ for part in parts]),
        unreadable=tuple(key for part in parts for key in part.unreadable),
    )


def result_lines(study: Study, matrix: Matrix, protocol: SelectionProtocol) -> list[ResultLine]:
    """Every row on every data set. Scores of folds are averaged, as the papers do; leave-one-subject-out is summed."""
    found = []
    for name in study.rows:
        for data in dict.fromkeys(cell.data.name for cell in matrix.cells):
            cells = [cell for cell in matrix.cells if cell.row == name and cell.data.name == data]
            per_seed: dict[str, list[float]] = {}
            done = 0
            for seed in study.seeds:
                parts = [cell_answers(cell, protocol) for cell in cells if cell.seed == seed]
                there = [part for part in parts if part is not None]
                done += len(there)
                for metric, value in (_of_folds(cells[0], there) if there else {}).items():
                    per_seed.setdefault(metric, []).append(value)
            values = {metric: tuple(some) for metric, some in per_seed.items()}
            found.append(
                ResultLine(row=name, dataset=data, protocol=protocol, per_seed=values, done=done, wanted=len(cells))
            )
    return found


def _of_folds(cell: Cell, parts: Sequence[Predictions]) -> dict[str, float]:
    if cell.data.split == "leave_one_subject_out":
        parts = [concat_predictions(parts)]
    scored = [score_predictions(cell.data, part) for part in parts]
    means: dict[str, float] = {}
    for metric in scored[0]:
        values = [one[metric].value for one in scored]
        known = [value for value in values if value is not None]
        if len(known) == len(values):
            means[metric] = float(np.mean(known))
    return means


def comparisons(study: Study, matrix: Matrix, protocol: SelectionProtocol) -> list[Comparison]:
    """Each row that names one without, where both are done."""
    found = []
    for name, row in study.rows.items():
        if row.without is None:
            continue
        for data in dict.fromkeys(cell.data.name for cell in matrix.cells):
            metric = next(cell.data.metrics[0] for cell in matrix.cells if cell.data.name == data)
            pairs = []
            for cell in matrix.cells:
                if (cell.row, cell.data.name) != (name, data):
                    continue
                twin = next(
                    one
                    for one in matrix.cells
                    if (one.row, one.data.name, one.fold, one.seed) == (row.without, data, cell.fold, cell.seed)
                )
                values = [_value(one, protocol, metric) for one in (cell, twin)]
                if values[0] is not None and values[1] is not None:
                    pairs.append(values[0] - values[1])
            if pairs:
                found.append(
                    Comparison(row=name, without=row.without, dataset=data, metric=metric, differences=tuple(pairs))
                )
    return found


def _value(cell: Cell, protocol: SelectionProtocol, metric: str) -> float | None:
    answers = cell_answers(cell, protocol)
    return None if answers is None else score_predictions(cell.data, answers)[metric].value


def summary(study: Study, matrix: Matrix) -> dict[str, Any]:
    """All of it, for study.json."""
    rows = [
        {
            "row": line.row,
            "dataset": line.dataset,
            "protocol": protocol,
            "done": line.done,
            "wanted": line.wanted,
            "per_seed": {metric: list(values) for metric, values in line.per_seed.items()},
        }
        for protocol in ("validation", "test_best", "last")
        for line in result_lines(study, matrix, protocol)
    ]
    told = [one.sentence for one in comparisons(study, matrix, "validation")]
    return {"title": study.title, "note": study.note, "rows": rows, "compared": told}


def write_summary(values: Mapping[str, Any]) -> bytes:
    """As JSON."""
    return (json.dumps(values, indent=1, sort_keys=True) + "\n").encode()
