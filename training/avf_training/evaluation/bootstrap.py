"""Intervals of the metrics of a detector, by a bootstrap over originals.

An original and its fakes show the same person in the same room, so they are one observation and are drawn together.
Shapes: N files, U originals.
"""

from collections.abc import Sequence

import numpy as np

from avf_training.evaluation.intervals import MIN_UNITS, Interval
from avf_training.evaluation.roc_curve import CURVE_METRICS, RankedScores

REPEATS = 1000
_COVERAGE = 0.95


def bootstrap_intervals(
    truth: Sequence[int], scores: Sequence[float], originals: Sequence[str], *, seed: int = 0
) -> dict[str, Interval]:
    """Return the 95 % interval of each metric of the ROC curve, by a percentile bootstrap over originals.

    Draws without a real or a fake are left out.

    Args:
        originals: name of the original of each file.
        seed: of the draws.
    """
    names, unit_N = np.unique(np.asarray(originals, str), return_inverse=True)
    if len(names) < MIN_UNITS:
        reason = f"too few: {len(names)} originals, {MIN_UNITS} are needed"
        return {metric: Interval(reason=reason) for metric in CURVE_METRICS}
    ranked = RankedScores.of(truth, scores)
    if ranked.curve() is None:
        return {metric: Interval(reason="the metric is undefined") for metric in CURVE_METRICS}
    random = np.random.Generator(np.random.Philox(seed))
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
