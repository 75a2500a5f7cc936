"""Predictions for labelled clips, and every metric of a task on them. Intervals are in intervals.py.

Shapes: N clips, C classes, D dimensions, J outputs (C or D).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from avf_training.evaluation.detection_metrics import score_detection
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


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedScore:
    """The probability of a fake of one window."""

    start_s: float  # of the window in its clip
    score: float  # from 0 to 1


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Predictions of a model for labelled clips."""

    keys: tuple[str, ...]  # N
    truth: Floats  # (N,) class indices, or (N, D) targets
    scores_NJ: Floats  # mean over the views of the softmax, or of the outputs of a regression
    unreadable: tuple[str, ...] = ()  # keys of clips that could not be read and have no prediction
    windows: Mapping[str, tuple[TimedScore, ...]] = field(default_factory=dict)  # of detection, by key of a clip

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


def concat_predictions(parts: Sequence[Predictions]) -> Predictions:
    """Concatenate the predictions of several folds; leave-one-subject-out is scored on all folds together."""
    return Predictions(
        keys=tuple(key for part in parts for key in part.keys),
        truth=np.concatenate([part.truth for part in parts]),
        scores_NJ=np.concatenate([part.scores_NJ for part in parts]),
        unreadable=tuple(key for part in parts for key in part.unreadable),
    )


def score_predictions(data: Dataset, predictions: Predictions) -> dict[str, MetricValue]:
    """Return every metric of the task by name. For dimensions: `PCC arousal` of one, `PCC` for the mean of all.

    To score folds together (leave-one-subject-out), concatenate their predictions first.
    """
    if data.task == "dimensions":
        return _score_dimensions(data, predictions)
    counts_CC = predictions.counts()
    scores = {"UAR": uar(counts_CC), "WAR": war(counts_CC), "weighted_F1": weighted_f1(counts_CC)}
    scores |= {"macro_F1": macro_f1(counts_CC), "UF1": macro_f1(counts_CC)}
    truth = predictions.truth.astype(int).tolist()
    if data.task == "detection":
        return score_detection(truth, predictions.scores_NJ[:, 1].tolist()) | scores
    return scores | {"AUC": auc(truth, predictions.scores_NJ)}


def metric_names(data: Dataset) -> tuple[str, ...]:
    """Return the names of the metrics that `score_predictions` gives for a task and of which more is better, without
    those of single dimensions.
    """
    if data.task == "dimensions":
        return ("PCC", "CCC")
    if data.task == "detection":
        return ("AUC", "AP", "TPR_at_1", "TPR_at_5", "UAR", "WAR", "weighted_F1", "macro_F1", "UF1")
    return ("UAR", "WAR", "weighted_F1", "macro_F1", "UF1", "AUC")


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
