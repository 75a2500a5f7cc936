"""Every metric of a detector of fakes: the ROC curve, calibration, and each kind of forgery.

Truth is 1 for a fake, a score is the probability of a fake. Shapes: N files.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avf_training.evaluation.metrics import MetricValue
from avf_training.evaluation.roc_curve import curve_metrics

BINS = 10  # of the probability of a fake, of equal width
CALIBRATION = ("ECE", "Brier")


@dataclass(frozen=True, kw_only=True)
class FakeBin:
    """Files of about the same probability of a fake."""

    probability: float  # their mean probability
    fakes: float  # share of them that is fake
    files: int  # how many they are


@dataclass(frozen=True, kw_only=True)
class KindScores:
    """Scores of the fakes of one kind against all reals."""

    name: str  # of the kind or method
    fakes: int  # files of it
    reals: int  # all that there are
    scores: dict[str, float | None]  # of the ROC curve by name; None where undefined


def fake_bins(truth: Sequence[int], scores: Sequence[float]) -> list[FakeBin]:
    """Return the bins of probability that hold files, by rising probability."""
    truth_N, score_N = np.asarray(truth, float), np.asarray(scores, float)
    bin_N = np.clip((score_N * BINS).astype(int), 0, BINS - 1)
    members = [bin_N == number for number in range(BINS)]
    return [
        FakeBin(probability=float(score_N[each].mean()), fakes=float(truth_N[each].mean()), files=int(each.sum()))
        for each in members
        if each.any()
    ]


def calibration_metrics(truth: Sequence[int], scores: Sequence[float]) -> dict[str, MetricValue]:
    """Return ECE and Brier score of probabilities of a fake.

    ECE is the mean over files of |share of fakes - mean probability| of their bin, Brier the mean squared error.
    """
    if not len(truth):
        return {name: MetricValue(value=None, undefined="there is no file") for name in CALIBRATION}
    error = sum(each.files * abs(each.fakes - each.probability) for each in fake_bins(truth, scores)) / len(truth)
    brier = float(np.mean((np.asarray(scores, float) - np.asarray(truth, float)) ** 2))
    return {"ECE": MetricValue(value=error), "Brier": MetricValue(value=brier)}


def score_detection(truth: Sequence[int], scores: Sequence[float]) -> dict[str, MetricValue]:
    """Return the metrics of the ROC curve and of calibration by name."""
    return curve_metrics(truth, scores) | calibration_metrics(truth, scores)


def score_kinds(truth: Sequence[int], scores: Sequence[float], kinds: Sequence[str | None]) -> list[KindScores]:
    """Return the scores of the fakes of each kind against all reals, by name.

    Args:
        kinds: of each file; None for a fake whose kind is not published. Those of reals count for nothing.
    """
    names = sorted({kind for kind, fake in zip(kinds, truth, strict=True) if fake and kind})
    reals = [row for row, fake in enumerate(truth) if not fake]
    rows_of = {name: [row for row, kind in enumerate(kinds) if truth[row] and kind == name] for name in names}
    return [
        KindScores(
            name=name,
            fakes=len(rows),
            reals=len(reals),
            scores={
                metric: value.value
                for metric, value in curve_metrics(
                    [truth[row] for row in (*reals, *rows)], [scores[row] for row in (*reals, *rows)]
                ).items()
            },
        )
        for name, rows in rows_of.items()
    ]
