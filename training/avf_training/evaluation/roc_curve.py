"""The ROC curve of a detector and the numbers that are read off it: AUC, AP, EER, true positives at few false alarms.

Truth is 1 for a fake, a score is higher for a fake. Equal scores are one point of the curve, so that no number depends
on the order of the files. Files may have weights, as in a bootstrap. Shapes: N files, P points.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avf_training.evaluation.metrics import Floats, MetricValue

FEW_ALARMS = (0.01, 0.05)  # shares of false alarms at which true positives are reported


@dataclass(frozen=True, kw_only=True)
class RocCurve:
    """Shares of reals and of fakes that score at least a threshold, for each threshold from high to low."""

    false_alarms_P: Floats  # share of the reals; the first point is 0, the last 1
    detected_P: Floats  # share of the fakes
    threshold_P: Floats  # least score that counts as fake; the first is infinite
    prevalence: float  # share of fakes in all

    @property
    def auc(self) -> float:
        """Area under the curve: the chance that a fake scores higher than a real, a tie counted as half."""
        return float(np.trapezoid(self.detected_P, self.false_alarms_P))

    @property
    def average_precision(self) -> float:
        """Mean precision over the fakes, each step of recall weighted with the precision at its end."""
        hits_P = self.detected_P * self.prevalence
        alarms_P = hits_P + self.false_alarms_P * (1 - self.prevalence)
        return float((np.diff(self.detected_P) * hits_P[1:] / alarms_P[1:]).sum())

    @property
    def equal_error_rate(self) -> float:
        """Share of errors where as many reals are called fake as fakes real, on straight lines between the points."""
        balance_P = self.false_alarms_P + self.detected_P - 1  # rises from -1 to 1
        after = int(np.argmax(balance_P >= 0))
        before = after - 1
        along = -balance_P[before] / (balance_P[after] - balance_P[before])
        return float(self.false_alarms_P[before] + along * (self.false_alarms_P[after] - self.false_alarms_P[before]))

    @property
    def equal_error_rate_nearest(self) -> float:
        """False alarms at the point where both errors differ least, as DeepfakeBench prints it.

        It is 0 for a constant score; it serves comparisons with published numbers of that kind alone.
        """
        return float(self.false_alarms_P[np.argmin(np.abs(1 - self.detected_P - self.false_alarms_P))])

    def detected_at(self, false_alarms: float) -> float:
        """Return the share of fakes that are detected with at most this share of false alarms."""
        return float(self.detected_P[self.false_alarms_P <= false_alarms].max())

    def numbers(self) -> dict[str, float]:
        """Return AUC, AP, EER and the true positives at few false alarms by name."""
        values = {"AUC": self.auc, "AP": self.average_precision, "EER": self.equal_error_rate}
        return values | {detected_name(share): self.detected_at(share) for share in FEW_ALARMS}


def detected_name(false_alarms: float) -> str:
    """Return the name of the metric of true positives at a share of false alarms: TPR_at_1 for 1 %."""
    return f"TPR_at_{100 * false_alarms:g}"


CURVE_METRICS = ("AUC", "AP", "EER", *(detected_name(share) for share in FEW_ALARMS))
"""Names of the metrics of `RocCurve.numbers`."""


@dataclass(frozen=True, kw_only=True)
class RankedScores:
    """Scores in falling order, so that curves with many weightings of the same files are cheap."""

    truth_N: Floats  # 1 for a fake, in the order of the scores
    order_N: npt.NDArray[np.int64]  # number of each file in the caller's order
    last_P: npt.NDArray[np.int64]  # last file of each group of equal scores
    score_P: Floats  # of each such group

    @classmethod
    def of(cls, truth: Sequence[int], scores: Sequence[float]) -> "RankedScores":
        """Rank the files. Raises ValueError that names the first truth or score that is none."""
        truth_N, score_N = np.asarray(truth, float), np.asarray(scores, float)
        if truth_N.shape != score_N.shape or truth_N.ndim != 1:
            raise ValueError(f"{truth_N.size} truths and {score_N.size} scores do not belong together")
        for number, (true, score) in enumerate(zip(truth_N, score_N, strict=True)):
            if true not in (0, 1) or not np.isfinite(score):
                raise ValueError(f"file {number}: truth {true:g} and score {score:g}; take 0 or 1 and a finite score")
        order_N = np.argsort(-score_N, kind="stable")
        ranked_N = score_N[order_N]
        last_P = np.flatnonzero(np.append(np.diff(ranked_N) != 0, True)) if len(ranked_N) else np.zeros(0, np.int64)
        return cls(truth_N=truth_N[order_N], order_N=order_N, last_P=last_P, score_P=ranked_N[last_P])

    def curve(self, weights: Floats | None = None) -> RocCurve | None:
        """Return the curve of the files with these weights, all 1 where None; None without a real or a fake."""
        weight_N = np.ones(len(self.truth_N)) if weights is None else weights[self.order_N]
        fakes_P = np.append(0, np.cumsum(weight_N * self.truth_N)[self.last_P])
        reals_P = np.append(0, np.cumsum(weight_N * (1 - self.truth_N))[self.last_P])
        fakes, reals = float(fakes_P[-1]), float(reals_P[-1])
        if not fakes or not reals:
            return None
        # A group of equal scores without weight is no point of the curve.
        moves_P = np.append(True, np.diff(fakes_P + reals_P) > 0)
        return RocCurve(
            false_alarms_P=reals_P[moves_P] / reals,
            detected_P=fakes_P[moves_P] / fakes,
            threshold_P=np.append(np.inf, self.score_P)[moves_P],
            prevalence=fakes / (fakes + reals),
        )


def trace_roc(truth: Sequence[int], scores: Sequence[float]) -> RocCurve | None:
    """Return the ROC curve; None where only reals or only fakes are given."""
    return RankedScores.of(truth, scores).curve()


def describe_missing_class(truth: Sequence[int]) -> str:
    """Return why a set of files has no ROC curve."""
    if not len(truth):
        return "there is no file"
    return "there is no real file" if any(truth) else "there is no fake file"


def curve_metrics(truth: Sequence[int], scores: Sequence[float]) -> dict[str, MetricValue]:
    """Return the metrics of the curve by name; with one class alone each is undefined, with the reason."""
    curve = trace_roc(truth, scores)
    if curve is None:
        reason = describe_missing_class(truth)
        return {name: MetricValue(value=None, undefined=reason) for name in CURVE_METRICS}
    return {name: MetricValue(value=value) for name, value in curve.numbers().items()}
