"""Every metric of a detector of fakes: the ROC curve, calibration, each kind of forgery, intervals over originals.

Truth is 1 for a fake, a score is the probability of a fake. Shapes: N files, U originals.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avf_training.evaluation.intervals import Interval
from avf_training.evaluation.metrics import MetricValue
from avf_training.evaluation.roc_curve import CURVE_METRICS, RankedScores, curve_metrics, trace_roc

BINS = 10  # of the probability of a fake, of equal width
REPEATS = 1000  # of the bootstrap
MIN_ORIGINALS = 5  # fewer give an interval that says next to nothing
_COVERAGE = 0.95
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


def bootstrap_intervals(
    truth: Sequence[int], scores: Sequence[float], originals: Sequence[str], *, seed: int = 0
) -> dict[str, Interval]:
    """Return the 95 % interval of each metric of the ROC curve, by a percentile bootstrap over originals.

    An original and its fakes are drawn together: they show the same person in the same room, so they are one
    observation. Draws without a real or a fake are left out.

    Args:
        originals: name of the original of each file.
        seed: of the draws.
    """
    names, unit_N = np.unique(np.asarray(originals, str), return_inverse=True)
    if len(names) < MIN_ORIGINALS:
        reason = f"too few: {len(names)} originals, {MIN_ORIGINALS} are needed"
        return {metric: Interval(reason=reason) for metric in CURVE_METRICS}
    if trace_roc(truth, scores) is None:
        return {metric: Interval(reason="the metric is undefined") for metric in CURVE_METRICS}
    random, ranked = np.random.Generator(np.random.Philox(seed)), RankedScores.of(truth, scores)
    drawn: dict[str, list[float]] = {metric: [] for metric in CURVE_METRICS}
    for _ in range(REPEATS):
        times_U = np.bincount(random.integers(len(names), size=len(names)), minlength=len(names))
        curve = ranked.curve(times_U[unit_N].astype(float))
        if curve is not None:
            for metric, value in curve.numbers().items():
                drawn[metric].append(value)
    tail = (1 - _COVERAGE) / 2
    return {
        metric: Interval(low=float(np.quantile(values, tail)), high=float(np.quantile(values, 1 - tail)))
        for metric, values in drawn.items()
    }
