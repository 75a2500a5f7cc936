"""Predictions for labelled clips, every metric of a task on them, and bootstrap intervals of the metrics.

Shapes: N clips, C classes, D dimensions, J outputs (C or D).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from avf_shards.schema.estimate import Estimate

from avf_training.evaluation.metrics import (
    ConfusionMatrix,
    Floats,
    MetricValue,
    auc,
    ccc,
    confusion,
    macro_f1,
    pcc,
    uar,
    war,
    weighted_f1,
)
from avf_training.tasks.catalog import Dataset

_COVERAGE = 0.95  # share of resamples between the ends of an interval
MIN_PEOPLE = 5  # for an interval
_MIN_DEFINED_SHARE = (
    0.9  # of the resamples; the others lack a class, so an interval without them would be of an easier test
)


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Predictions of a model for labelled clips."""

    keys: tuple[str, ...]  # N
    truth: Floats  # (N,) class indices, or (N, D) targets
    scores_NJ: Floats  # mean over the views of the softmax, or of the outputs of a regression
    unreadable: tuple[str, ...] = ()  # keys of clips that could not be read and have no prediction

    def average_groups(self, group_of: Mapping[str, str]) -> "Predictions":
        """Return the mean prediction of each group as one row, with the name of the group as key.

        In AVCAffe a group is a task of a participant.
        """
        rows_of: dict[str, list[int]] = {}
        for row, key in enumerate(self.keys):
            rows_of.setdefault(group_of[key], []).append(row)
        names = sorted(rows_of)
        return Predictions(
            keys=tuple(names),
            truth=np.array([self.truth[rows_of[name][0]] for name in names]),
            scores_NJ=np.array([self.scores_NJ[rows_of[name]].mean(0) for name in names]),
            unreadable=self.unreadable,
        )

    def counts(self) -> ConfusionMatrix:
        """Return the confusion matrix (C, C) of a classification."""
        return confusion(self.truth.astype(int).tolist(), self.classes(), self.scores_NJ.shape[1])

    def classes(self) -> list[int]:
        """Return the predicted class of each clip: the one with the highest score."""
        classes: list[int] = self.scores_NJ.argmax(1).tolist()
        return classes


def score_predictions(data: Dataset, predictions: Predictions) -> dict[str, MetricValue]:
    """Return every metric of the task by name. For dimensions: `PCC arousal` of one, `PCC` for the mean of all.

    To score folds together (leave-one-subject-out), concatenate their predictions first.
    """
    if data.task == "dimensions":
        return _score_dimensions(data, predictions)
    counts_CC = predictions.counts()
    scores = {"UAR": uar(counts_CC), "WAR": war(counts_CC), "weighted_F1": weighted_f1(counts_CC)}
    scores |= {"macro_F1": macro_f1(counts_CC), "UF1": macro_f1(counts_CC)}
    scores["AUC"] = auc(predictions.truth.astype(int).tolist(), predictions.scores_NJ)
    return scores


def _score_dimensions(data: Dataset, predictions: Predictions) -> dict[str, MetricValue]:
    scores: dict[str, MetricValue] = {}
    for name, metric in (("PCC", pcc), ("CCC", ccc)):
        each = {
            dimension: metric(predictions.truth[:, d], predictions.scores_NJ[:, d])
            for d, dimension in enumerate(data.dimensions)
        }
        undefined = [f"{dimension}: {score.undefined}" for dimension, score in each.items() if score.value is None]
        values = [score.value for score in each.values() if score.value is not None]
        scores[name] = (
            MetricValue(value=None, undefined="; ".join(undefined))
            if undefined
            else MetricValue(value=float(np.mean(values)))
        )
        scores |= {f"{name} {dimension}": score for dimension, score in each.items()}
    return scores


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """How the intervals of metrics are computed: people are drawn with replacement, each with all their clips.

    The clips of one person are alike, so drawing single clips would give intervals that are too narrow.
    """

    people: Mapping[str, str]  # key of a clip -> its person, or its recording where persons are not named
    resamples: int = 1000  # number of draws
    seed: int = 0  # of the draws

    def groups(self, predictions: Predictions) -> list[npt.NDArray[np.int64]]:
        """Return the rows of each person's clips. A clip without an entry in `people` is a person of its own."""
        rows_of: dict[str, list[int]] = {}
        for row, key in enumerate(predictions.keys):
            rows_of.setdefault(self.people.get(key, key), []).append(row)
        return [np.array(rows) for rows in rows_of.values()]


def bootstrap_interval(data: Dataset, predictions: Predictions, name: str, bootstrap: Bootstrap) -> Estimate | None:
    """Return a metric with its 95 % bootstrap interval over people; None where it is undefined or people are too few.

    It also counts as undefined where it is undefined in more than a tenth of the resamples. Below MIN_PEOPLE people an
    interval would say more than so few can tell. The interval says how precise the size of the test set allows the
    metric to be, not how much it varies between trainings.
    """
    value = score_predictions(data, predictions)[name].value
    groups = bootstrap.groups(predictions)
    if len(groups) < MIN_PEOPLE or value is None:
        return None
    random = np.random.Generator(np.random.Philox(bootstrap.seed))
    metric_of = _make_resampled_metric(data, predictions, name)
    values = [
        metric_of(np.concatenate([groups[person] for person in random.integers(len(groups), size=len(groups))]))
        for _ in range(bootstrap.resamples)
    ]
    defined = [value for value in values if value is not None]
    if len(defined) < _MIN_DEFINED_SHARE * bootstrap.resamples:
        return None
    low, high = np.quantile(defined, [(1 - _COVERAGE) / 2, (1 + _COVERAGE) / 2])
    return Estimate(value=value, low=float(low), high=float(high))


def _make_resampled_metric(
    data: Dataset, predictions: Predictions, name: str
) -> Callable[[npt.NDArray[np.int64]], float | None]:
    """Return a function that computes one metric of resampled predictions, given their rows."""
    if data.task == "dimensions" or name == "AUC":

        def from_predictions(rows_N: npt.NDArray[np.int64]) -> float | None:
            resampled = Predictions(
                keys=tuple(predictions.keys[row] for row in rows_N),
                truth=predictions.truth[rows_N],
                scores_NJ=predictions.scores_NJ[rows_N],
            )
            return score_predictions(data, resampled)[name].value

        return from_predictions
    # Counting pairs (truth, prediction) with bincount of all clips at once is faster than `confusion`, clip by clip.
    classes = predictions.scores_NJ.shape[1]
    pairs_N = predictions.truth.astype(np.int64) * classes + predictions.scores_NJ.argmax(1)
    metric = {"UAR": uar, "WAR": war, "weighted_F1": weighted_f1, "macro_F1": macro_f1, "UF1": macro_f1}[name]

    def from_counts(rows_N: npt.NDArray[np.int64]) -> float | None:
        counts_CC = np.bincount(pairs_N[rows_N], minlength=classes**2).reshape(classes, classes)
        return metric(counts_CC).value

    return from_counts
