"""Intervals of metrics and of differences over people, and tests of two runs on the same clips.

The clips of one person are alike, so a person is the unit, or the session where folds are made of sessions. An interval
is a jackknife over these units: the metric is computed without each unit in turn, on the scale of its log odds, and the
standard error is multiplied by the quantile of Student's t with one degree of freedom fewer than there are units. With
5 units a nominal 95 % interval of this kind holds the true value in 92 to 96 % of simulated test sets, a percentile
bootstrap over people in 80 to 84 %.

Shapes: N clips, U units.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avf_training.evaluation.metrics import macro_f1, uar, war, weighted_f1
from avf_training.evaluation.scoring import Predictions, score_predictions
from avf_training.tasks.catalog import Dataset

MIN_UNITS = 5  # people or sessions for an interval; fewer give one that says next to nothing
_COVERAGE = 0.95
_MAX_GROUPS = 100  # above, units are put together at random: the cost is bounded and t is close to a normal quantile
_OF_COUNTS = {"UAR": uar, "WAR": war, "weighted_F1": weighted_f1, "macro_F1": macro_f1, "UF1": macro_f1}
# Without a class, these are the scores of an easier test.
_OF_EACH_CLASS = ("UAR", "macro_F1", "UF1", "AUC", "AP", "TPR_at_1", "TPR_at_5")

_PLURALS = {"original": "originals", "person": "people", "session": "sessions", "recording": "recordings"}
_UNDEFINED_WITHOUT_SOME = "the metric is undefined without some people"

Rows = npt.NDArray[np.int64]
_NO_ROWS: Rows = np.array([], np.int64)


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A 95 % interval over units, or the reason why there is none."""

    low: float | None = None  # a share or a correlation, as the metric
    high: float | None = None  # None where there is no interval
    reason: str = ""  # why there is none; empty where there is one

    def as_list(self) -> list[float] | None:
        """Return both ends, or None."""
        return None if self.low is None or self.high is None else [self.low, self.high]


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """The difference of two runs on the same test clips: first minus second."""

    difference: float  # of the metric; over several pairs (seeds) their mean
    interval: Interval  # of the difference
    p_value: float | None  # of no difference, two-sided, by the same jackknife; None without an interval
    units: int  # people or sessions


@dataclass(frozen=True, kw_only=True)
class McNemar:
    """McNemar's exact test: is each run right on half of the clips that only one predicts? Clips are independent."""

    first_only: int  # clips that only the first predicts right
    second_only: int  # clips that only the second predicts right
    p_value: float  # two-sided


def group_rows(predictions: Predictions, unit_of: Mapping[str, str]) -> list[Rows]:
    """Return the rows of each unit's clips. A clip without an entry in `unit_of` is a unit of its own."""
    rows_of: dict[str, list[int]] = {}
    for row, key in enumerate(predictions.keys):
        rows_of.setdefault(unit_of.get(key, key), []).append(row)
    return [np.array(rows) for _, rows in sorted(rows_of.items())]


def unit_nouns(predictions: Predictions, unit_of: Mapping[str, str]) -> tuple[str, str]:
    """Return what the units of these clips are called, one and several: people, sessions, recordings."""
    kinds = {unit_of.get(key, "").partition(" ")[0] for key in predictions.keys}
    nouns = [noun for noun in _PLURALS if noun in kinds] or ["person"]
    return " or ".join(nouns), " or ".join(_PLURALS[noun] for noun in nouns)


def metric_interval(data: Dataset, predictions: Predictions, name: str, unit_of: Mapping[str, str]) -> Interval:
    """Return the interval of a metric over units.

    It says how precise the people of the test set allow the metric to be, not how much it varies between trainings.

    Args:
        unit_of: key of a clip -> its person, session or recording, as `LabelledShards.units` returns them.
    """
    without, groups = _metric_without(data, predictions, name), group_rows(predictions, unit_of)
    value = without(_NO_ROWS)
    if np.isnan(value):
        return Interval(reason="the metric is undefined")
    if reason := _missing_reason(data, [predictions], groups, name, unit_nouns(predictions, unit_of)):
        return Interval(reason=reason)
    bottom = -1.0 if data.task == "dimensions" else 0.0
    return jackknife_interval(without, groups, bottom=bottom, margin=0.5 / len(predictions.keys))


def jackknife_interval(
    without: Callable[[Rows], float], groups: Sequence[Rows], *, bottom: float, margin: float
) -> Interval:
    """Return the interval of a metric over units, or why there is none.

    Args:
        without: computes the metric without the rows that it gets; nan where it is undefined.
        groups: rows of each unit.
        bottom: least value of the metric: -1 of a correlation, 0 of a share.
        margin: closest distance to an end of the range that is told apart.
    """
    scale = _LogOdds(bottom=bottom, margin=margin)
    value = without(_NO_ROWS)
    error = _jackknife_error(groups, without, scale.forward)
    if not np.isfinite(error) or np.isnan(value):
        return Interval(reason=_UNDEFINED_WITHOUT_SOME)
    if not error:
        return Interval(reason="nobody changes the score")
    reach, middle = _t_quantile(len(groups)) * error, scale.forward(value)
    return Interval(low=scale.backward(middle - reach), high=scale.backward(middle + reach))


def paired_difference(
    data: Dataset, pairs: Sequence[tuple[Predictions, Predictions]], name: str, unit_of: Mapping[str, str]
) -> PairedDifference | None:
    """Return the mean difference of pairs of runs on the same clips; None where a score is undefined.

    Args:
        pairs: for each seed the predictions of both runs, of all folds together; only clips that all have count.
    """
    common = set.intersection(*(set(predictions.keys) for pair in pairs for predictions in pair))
    aligned = [(_select(first, common), _select(second, common)) for first, second in pairs]
    groups = group_rows(aligned[0][0], unit_of)
    without = [[_metric_without(data, predictions, name) for predictions in pair] for pair in aligned]

    def difference(rows: Rows) -> float:
        return float(np.mean([a(rows) - b(rows) for a, b in without]))

    value = difference(_NO_ROWS)
    if np.isnan(value):
        return None
    nouns = unit_nouns(aligned[0][0], unit_of)
    if reason := _missing_reason(data, [each for pair in aligned for each in pair], groups, name, nouns):
        interval = Interval(reason=reason)
        return PairedDifference(difference=value, interval=interval, p_value=None, units=len(groups))
    error = _jackknife_error(groups, difference, lambda value: value)
    if not error or not np.isfinite(error):
        interval = Interval(reason=_UNDEFINED_WITHOUT_SOME if error else "nobody's clips change the difference")
        return PairedDifference(difference=value, interval=interval, p_value=None, units=len(groups))
    from scipy.stats import t

    reach = _t_quantile(len(groups)) * error
    return PairedDifference(
        difference=value,
        interval=Interval(low=value - reach, high=value + reach),
        p_value=float(2 * t.sf(abs(value) / error, min(len(groups), _MAX_GROUPS) - 1)),
        units=len(groups),
    )


def mcnemar(first: Predictions, second: Predictions) -> McNemar:
    """Return McNemar's exact test of two runs on the clips that both predict."""
    from scipy.stats import binomtest

    common = set(first.keys) & set(second.keys)
    right_N, other_N = (
        np.array(each.classes()) == each.truth for each in (_select(first, common), _select(second, common))
    )
    only, lost = int((right_N & ~other_N).sum()), int((~right_N & other_N).sum())
    p_value = float(binomtest(only, only + lost).pvalue) if only + lost else 1.0
    return McNemar(first_only=only, second_only=lost, p_value=p_value)


@dataclass(frozen=True, kw_only=True)
class _LogOdds:
    """Log odds of a value between `bottom` and 1, on which intervals are symmetric and never leave the range."""

    bottom: float  # least value of the metric
    margin: float  # closest distance to an end that is told apart

    def forward(self, value: float) -> float:
        share = min(max((value - self.bottom) / (1 - self.bottom), self.margin), 1 - self.margin)
        return float(np.log(share / (1 - share)))

    def backward(self, value: float) -> float:
        return float(self.bottom + (1 - self.bottom) / (1 + np.exp(-value)))


def _select(predictions: Predictions, keys: set[str]) -> Predictions:
    """Return the predictions for these keys in the order of the keys."""
    rows = sorted((row for row, key in enumerate(predictions.keys) if key in keys), key=predictions.keys.__getitem__)
    return _take_rows(predictions, np.array(rows, np.int64))


def _take_rows(predictions: Predictions, rows: Rows) -> Predictions:
    return Predictions(
        keys=tuple(predictions.keys[row] for row in rows),
        truth=predictions.truth[rows],
        scores_NJ=predictions.scores_NJ[rows],
    )


def _missing_reason(
    data: Dataset, all_predictions: Sequence[Predictions], groups: Sequence[Rows], name: str, nouns: tuple[str, str]
) -> str:
    """Return why units are too few for an interval of this metric; empty where they are not."""
    noun, plural = nouns
    if len(groups) < MIN_UNITS:
        count = f"{len(groups)} {noun if len(groups) == 1 else plural}"
        return f"too few: {count}, {MIN_UNITS} are needed"
    if data.task == "dimensions" or name not in _OF_EACH_CLASS:
        return ""
    merged = _merge_groups(groups)
    alternative = f", or of few {plural} put together" if len(merged) < len(groups) else ""
    for predictions in all_predictions:
        truth_N = predictions.truth.astype(int)
        groups_of_class = np.zeros(predictions.scores_NJ.shape[1], int)
        for rows in merged:
            groups_of_class[np.unique(truth_N[rows])] += 1
        if (alone := np.flatnonzero(groups_of_class == 1)).size:
            return f"all clips of {data.labels[alone[0]]} are of one {noun}{alternative}"
    return ""


def _jackknife_error(
    groups: Sequence[Rows], without: Callable[[Rows], float], scale: Callable[[float], float]
) -> float:
    """Return the standard error by the jackknife over groups: `without` computes the value without some rows."""
    values_U = np.array([scale(without(rows)) for rows in _merge_groups(groups)])
    return float(np.sqrt((len(values_U) - 1) * values_U.var()))


def _merge_groups(groups: Sequence[Rows]) -> list[Rows]:
    """Return at most _MAX_GROUPS groups, each of whole units; which unit goes where is random with a fixed seed."""
    if len(groups) <= _MAX_GROUPS:
        return list(groups)
    order = np.random.Generator(np.random.Philox(0)).permutation(len(groups))
    return [np.concatenate([groups[unit] for unit in part]) for part in np.array_split(order, _MAX_GROUPS)]


def _t_quantile(units: int) -> float:
    from scipy.stats import t  # two seconds to import, which commands without an interval save

    return float(t.ppf((1 + _COVERAGE) / 2, min(units, _MAX_GROUPS) - 1))


def _metric_without(data: Dataset, predictions: Predictions, name: str) -> Callable[[Rows], float]:
    """Return a function that computes a metric without the clips in some rows; NaN where it is undefined."""

    def from_predictions(rows: Rows) -> float:
        rest = np.setdiff1d(np.arange(len(predictions.keys)), rows)
        value = score_predictions(data, _take_rows(predictions, rest))[name].value
        return np.nan if value is None else value

    if data.task == "dimensions" or name not in _OF_COUNTS:
        return from_predictions
    # Counts of pairs (truth, prediction) of the rows are subtracted, which is faster than to count the others anew.
    classes, metric = predictions.scores_NJ.shape[1], _OF_COUNTS[name]
    pairs_N = predictions.truth.astype(np.int64) * classes + predictions.scores_NJ.argmax(1)
    counts = np.bincount(pairs_N, minlength=classes**2)

    def from_counts(rows: Rows) -> float:
        rest_CC = (counts - np.bincount(pairs_N[rows], minlength=classes**2)).reshape(classes, classes)
        value = metric(rest_CC).value
        return np.nan if value is None else value

    return from_counts
