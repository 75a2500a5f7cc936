"""A model's answers and what they are worth: every metric of a task, with bootstrap intervals.

Shapes: N clips, C classes, D dimensions, J outputs (C or D), K resamples.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avf_training.evaluation.metrics import (
    Counts,
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

Floats = npt.NDArray[np.float64]
MEAN = "mean"  # of the dimensions


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """truth_N: classes; truth_ND: dimensions. scores_NJ: mean softmax of the views, or the mean answer of a regression.

    unreadable: clips that could not be read, and so have no answer.
    """

    keys: tuple[str, ...]
    truth: npt.NDArray[np.float64]
    scores_NJ: Floats
    unreadable: tuple[str, ...] = ()

    def grouped(self, group_of: Mapping[str, str]) -> "Predictions":
        """Answers of one group averaged: a participant's task in AVCAffe. Groups by name."""
        places: dict[str, list[int]] = {}
        for place, key in enumerate(self.keys):
            places.setdefault(group_of[key], []).append(place)
        names = sorted(places)
        truth = np.array([self.truth[places[name][0]] for name in names])
        scores = np.array([self.scores_NJ[places[name]].mean(0) for name in names])
        return Predictions(keys=tuple(names), truth=truth, scores_NJ=scores, unreadable=self.unreadable)

    def counts(self) -> Counts:
        """Confusion matrix (C, C) of a classification."""
        return confusion(self.truth.astype(int).tolist(), self.predicted(), self.scores_NJ.shape[1])

    def predicted(self) -> list[int]:
        """Class of each answer: the highest score."""
        found: list[int] = self.scores_NJ.argmax(1).tolist()
        return found


def score_predictions(data: Dataset, answers: Predictions) -> dict[str, MetricValue]:
    """Every metric of the task by name; a dimension's as `PCC arousal`, their mean as `PCC`.

    Of folds that are summed (leave-one-subject-out), join their answers first.
    """
    if data.task == "dimensions":
        return _of_dimensions(data, answers)
    counts_CC = answers.counts()
    found = {"UAR": uar(counts_CC), "WAR": war(counts_CC), "weighted_F1": weighted_f1(counts_CC)}
    found |= {"macro_F1": macro_f1(counts_CC), "UF1": macro_f1(counts_CC)}
    found["AUC"] = auc(answers.truth.astype(int).tolist(), answers.scores_NJ)
    return found


def _of_dimensions(data: Dataset, answers: Predictions) -> dict[str, MetricValue]:
    found: dict[str, MetricValue] = {}
    for name, metric in (("PCC", pcc), ("CCC", ccc)):
        each = {
            dimension: metric(answers.truth[:, d], answers.scores_NJ[:, d])
            for d, dimension in enumerate(data.dimensions)
        }
        bad = [f"{dimension}: {score.undefined}" for dimension, score in each.items() if score.value is None]
        values = [score.value for score in each.values() if score.value is not None]
        found[name] = (
            MetricValue(value=None, undefined="; ".join(bad)) if bad else MetricValue(value=float(np.mean(values)))
        )
        found |= {f"{name} {dimension}": score for dimension, score in each.items()}
    return found


@dataclass(frozen=True, kw_only=True)
class BootstrapInterval:
    """Percentile bootstrap over clips: `share` of resamples lie between low and high."""

    low: float
    high: float
    share: float = 0.95


def bootstrap_interval(
    data: Dataset, answers: Predictions, name: str, *, resamples: int = 1000, seed: int = 0, share: float = 0.95
) -> BootstrapInterval | None:
    """The interval of one metric; None where it is undefined, or in more than a tenth of the resamples.

    Clips are drawn with replacement. It tells how much the test set's size allows to say, not how training varies.
    """
    count = len(answers.keys)
    if count < 2 or score_predictions(data, answers)[name].value is None:
        return None
    random = np.random.Generator(np.random.Philox(seed))
    value = _quick(data, answers, name)
    found = [value(random.integers(count, size=count)) for _ in range(resamples)]
    known = [one for one in found if one is not None]
    if len(known) < 0.9 * resamples:
        return None
    low, high = np.quantile(known, [(1 - share) / 2, (1 + share) / 2])
    return BootstrapInterval(low=float(low), high=float(high), share=share)


def _quick(data: Dataset, answers: Predictions, name: str) -> Callable[[npt.NDArray[np.int64]], float | None]:
    """One metric of resampled answers; counts are summed by class pairs, not by clips."""
    if data.task == "dimensions" or name == "AUC":

        def slowly(rows_N: npt.NDArray[np.int64]) -> float | None:
            keys = tuple(answers.keys[row] for row in rows_N)
            return score_predictions(
                data, Predictions(keys=keys, truth=answers.truth[rows_N], scores_NJ=answers.scores_NJ[rows_N])
            )[name].value

        return slowly
    classes = answers.scores_NJ.shape[1]
    pairs_N = answers.truth.astype(np.int64) * classes + answers.scores_NJ.argmax(1)
    metric = {"UAR": uar, "WAR": war, "weighted_F1": weighted_f1, "macro_F1": macro_f1, "UF1": macro_f1}[name]

    def quickly(rows_N: npt.NDArray[np.int64]) -> float | None:
        counts_CC = np.bincount(pairs_N[rows_N], minlength=classes**2).reshape(classes, classes)
        return metric(counts_CC).value

    return quickly
