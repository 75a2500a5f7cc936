"""Results of a study: scores per row and data set over folds and seeds, and comparisons of rows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from avf_shards.schema.versions import stamp

from avf_training.config.finetune import PROTOCOLS, SelectionProtocol
from avf_training.evaluation.intervals import McNemar, PairedDifference, mcnemar, paired_difference, unit_nouns
from avf_training.evaluation.results import PREDICTIONS, read_predictions
from avf_training.evaluation.scoring import Predictions, concat_predictions, score_predictions
from avf_training.study.plan import Cell, Matrix, Study
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.trainer.run_folder import RESULT


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
    # Row minus `without`, of the same fold and seed, or of all subjects together (leave-one-subject-out); 1 is 100 %.
    differences: tuple[float, ...]
    paired: PairedDifference | None  # of all test clips together, over people; None where the metric is undefined
    mcnemar: McNemar | None  # of the first seed; None for dimensions
    pooled: bool = False  # a difference is of all subjects together
    unit: str = "people"  # that the interval is over: people, sessions or recordings

    @property
    def above(self) -> int:
        """Number of differences in which the row is better."""
        return sum(difference > 0 for difference in self.differences)

    @property
    def verdict(self) -> str:
        """What the interval says: told apart or not; without an interval, that there is no verdict."""
        low, high = (None, None) if self.paired is None else (self.paired.interval.low, self.paired.interval.high)
        if low is None or high is None:
            return "no verdict"
        return "better" if low > 0 else "worse" if high < 0 else "not told apart"

    @property
    def sentence(self) -> str:
        """A sentence that says how the row compares, how sure that is and why."""
        words = {
            "better": f"{self.row} beats {self.without}",
            "worse": f"{self.row} is beaten by {self.without}",
            "not told apart": f"{self.row} and {self.without} are not told apart",
            "no verdict": f"{self.row} beside {self.without}",
        }[self.verdict]
        pair = "seed" if self.pooled else "fold and seed"
        mean = 100 * float(np.mean(self.differences))
        text = f"{words} on {self.dataset}: {self.metric} {mean:+.1f} points on average, "
        text += f"above in {self.above} of {len(self.differences)} (same {pair}); "
        text += self._describe_interval()
        if self.mcnemar is not None:
            only, lost = self.mcnemar.first_only, self.mcnemar.second_only
            text += f"; in the first seed only {self.row} is right on {only} clips, only {self.without} on {lost}"
            text += f" (McNemar p = {self.mcnemar.p_value:.2g}, clips as if independent)"
        return text

    def cells(self) -> dict[str, str]:
        """Return the texts of the comparison's line in the table of the page."""
        paired, test = self.paired, self.mcnemar
        together = interval = p_value = ""
        if paired is not None:
            together, interval = f"{100 * paired.difference:+.1f}", paired.interval.reason
            if paired.interval.low is not None and paired.interval.high is not None:
                interval = f"{100 * paired.interval.low:+.1f} to {100 * paired.interval.high:+.1f}"
                interval += f" ({paired.units} {self.unit})"
            p_value = "" if paired.p_value is None else f"{paired.p_value:.2g}"
        return {
            "row": self.row,
            "without": self.without,
            "dataset": self.dataset,
            "verdict": self.verdict,
            "metric": self.metric.replace("_", " "),
            "points": f"{100 * float(np.mean(self.differences)):+.1f}",
            "above": f"{self.above} of {len(self.differences)}",
            "together": together,
            "interval": interval,
            "p_value": p_value,
            "only_right": "" if test is None else f"{test.first_only} and {test.second_only}",
            "mcnemar": "" if test is None else f"{test.p_value:.2g}",
        }

    def _describe_interval(self) -> str:
        if self.paired is None:
            return "no interval: the metric is undefined"
        interval, together = self.paired.interval, f"all clips together {100 * self.paired.difference:+.1f}"
        if interval.low is None or interval.high is None:
            return f"{together}, no interval ({interval.reason})"
        ends = f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f}"
        return f"{together}, 95 % {ends} over {self.paired.units} {self.unit}, p = {self.paired.p_value:.2g}"


def cell_predictions(cell: Cell, protocol: SelectionProtocol) -> Predictions | None:
    """Return the test predictions of a run, or None where it is not done or the protocol selected no model."""
    path = cell.out / PREDICTIONS / f"{protocol}.json"
    return read_predictions(path) if (cell.out / RESULT).is_file() and path.is_file() else None


def result_lines(study: Study, matrix: Matrix, protocol: SelectionProtocol) -> list[ResultLine]:
    """Return every row on every data set. Scores are means over folds, as in the papers."""
    lines = []
    for row in study.rows:
        for dataset in dict.fromkeys(cell.data.name for cell in matrix.cells):
            cells = [cell for cell in matrix.cells if cell.row == row and cell.data.name == dataset]
            if not cells:  # a transfer is tested on labels of its own
                continue
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


def comparisons(study: Study, matrix: Matrix, shards: LabelledShards) -> list[RowComparison]:
    """Return a comparison for each row that names a row `without`, on each data set where both rows are done.

    Models are those that the study's protocol selects, or else those of the last step.
    """
    results = []
    for name, row in study.rows.items():
        for dataset in dict.fromkeys(cell.data.name for cell in matrix.cells):
            if row.without is not None:
                result = _compare(study, matrix, shards, (name, row.without), dataset)
                results += [] if result is None else [result]
    return results


def _compare(
    study: Study, matrix: Matrix, shards: LabelledShards, rows: tuple[str, str], dataset: str
) -> RowComparison | None:
    """Return the comparison of two rows on a data set; None where no run of both is done."""
    for protocol in dict.fromkeys((study.selected_by, "last")):
        pairs = _paired_predictions(matrix, rows, dataset, protocol)
        if pairs:
            break
    else:
        return None
    data = next(cell.data for cell in matrix.cells if cell.data.name == dataset)
    metric, pooled = data.metrics[0], data.split == "leave_one_subject_out"
    seeds: dict[int, list[tuple[Predictions, Predictions]]] = {}
    for seed, pair in pairs:
        seeds.setdefault(seed, []).append(pair)
    together = [_concat_pairs(parts) for parts in seeds.values()]
    scored = [
        tuple(score_predictions(data, predictions)[metric].value for predictions in pair)
        for pair in (together if pooled else [pair for _, pair in pairs])
    ]
    unit_of = shards.units(data)
    differences = [first - second for first, second in scored if first is not None and second is not None]
    if not differences:
        return None
    return RowComparison(
        row=rows[0],
        without=rows[1],
        dataset=dataset,
        metric=metric,
        differences=tuple(differences),
        paired=paired_difference(data, together, metric, unit_of),
        mcnemar=None if data.task == "dimensions" else mcnemar(*together[0]),
        pooled=pooled,
        unit=unit_nouns(together[0][0], unit_of)[1],
    )


def _paired_predictions(
    matrix: Matrix, rows: tuple[str, str], dataset: str, protocol: SelectionProtocol
) -> list[tuple[int, tuple[Predictions, Predictions]]]:
    """Return the seed and the predictions of both rows for each fold and seed that both rows have done."""
    cell_of = {(cell.row, cell.fold, cell.seed): cell for cell in matrix.cells if cell.data.name == dataset}
    pairs = []
    for (row, fold, seed), cell in cell_of.items():
        baseline = cell_of.get((rows[1], fold, seed))
        if row != rows[0] or baseline is None:
            continue
        first, second = cell_predictions(cell, protocol), cell_predictions(baseline, protocol)
        if first is not None and second is not None:
            pairs.append((seed, (first, second)))
    return pairs


def _concat_pairs(pairs: Sequence[tuple[Predictions, Predictions]]) -> tuple[Predictions, Predictions]:
    first, second = zip(*pairs, strict=True)
    return concat_predictions(first), concat_predictions(second)


def summary(study: Study, matrix: Matrix, compared: Sequence[RowComparison]) -> dict[str, Any]:
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
    sentences = [comparison.sentence for comparison in compared]
    values = {"title": study.title, "note": study.note, "rows": rows, "compared": sentences}
    return stamp(values, "study results")


def summary_as_json(values: Mapping[str, Any]) -> bytes:
    """Return a summary as the bytes of study.json."""
    return (json.dumps(values, indent=1, sort_keys=True) + "\n").encode()
