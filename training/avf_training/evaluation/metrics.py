"""Metrics of classification and regression: UAR, WAR, F1 scores, PCC, CCC, AUC.

A metric that is undefined for some predictions is None with a reason, not a number. Metrics of classes are computed
from confusion matrices (rows: truth, columns: prediction), so that the matrices of folds can be summed first, as
cross-validation and leave-one-subject-out are reported. Shapes: C classes, N samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

ConfusionMatrix = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class MetricValue:
    """The value of a metric, or None and the reason why it has none."""

    value: float | None  # a share from 0 to 1, or a correlation from -1 to 1; None where undefined
    undefined: str = ""  # the reason; empty where there is a value

    def __str__(self) -> str:
        return f"undefined ({self.undefined})" if self.value is None else f"{self.value:.4f}"


_NO_SAMPLE = MetricValue(value=None, undefined="there is no sample")


def confusion(truth: Sequence[int], predicted: Sequence[int], classes: int) -> ConfusionMatrix:
    """Return the confusion matrix, (C, C) counts. Raises ValueError naming the first index that is no class."""
    counts_CC = np.zeros((classes, classes), np.int64)
    for sample, (true, prediction) in enumerate(zip(truth, predicted, strict=True)):
        if not (0 <= true < classes and 0 <= prediction < classes):
            raise ValueError(f"sample {sample}: class {true} predicted as {prediction}, there are {classes} classes")
        counts_CC[true, prediction] += 1
    return counts_CC


def recalls(counts_CC: ConfusionMatrix) -> list[MetricValue]:
    """Return the recall of each class; it is undefined for a class without samples."""
    support_C = counts_CC.sum(1)
    return [
        MetricValue(value=float(counts_CC[c, c] / support_C[c]))
        if support_C[c]
        else MetricValue(value=None, undefined=f"class {c} has no sample")
        for c in range(len(counts_CC))
    ]


def war(counts_CC: ConfusionMatrix) -> MetricValue:
    """Return the weighted average recall: the share of samples that are predicted right."""
    total = int(counts_CC.sum())
    return MetricValue(value=float(np.trace(counts_CC) / total)) if total else _NO_SAMPLE


def uar(counts_CC: ConfusionMatrix) -> MetricValue:
    """Return the unweighted average recall: the mean recall of the classes that have samples."""
    known = [recall.value for recall in recalls(counts_CC) if recall.value is not None]
    return MetricValue(value=float(np.mean(known))) if known else _NO_SAMPLE


def f1(counts_CC: ConfusionMatrix) -> Floats:
    """Return the F1 of each class, (C,): 2 tp / (2 tp + fp + fn), 0 for a class that is neither true nor predicted."""
    hits_C = np.diag(counts_CC).astype(float)
    total_C = counts_CC.sum(0) + counts_CC.sum(1)
    f1_C = np.zeros(len(counts_CC))
    np.divide(2 * hits_C, total_C, out=f1_C, where=total_C > 0)
    return f1_C


def weighted_f1(counts_CC: ConfusionMatrix) -> MetricValue:
    """Return the mean F1 of the classes, weighted by their numbers of samples."""
    support_C = counts_CC.sum(1)
    if not support_C.sum():
        return _NO_SAMPLE
    return MetricValue(value=float((f1(counts_CC) * support_C).sum() / support_C.sum()))


def macro_f1(counts_CC: ConfusionMatrix) -> MetricValue:
    """Return the plain mean F1 of the classes that are true or predicted somewhere.

    UF1 (MEGC 2019) is this mean on the summed confusion matrices of all folds.
    """
    present_C = counts_CC.sum(0) + counts_CC.sum(1) > 0
    return MetricValue(value=float(f1(counts_CC)[present_C].mean())) if present_C.any() else _NO_SAMPLE


def pcc(truth: Floats, predicted: Floats) -> MetricValue:
    """Return Pearson's correlation coefficient."""
    if len(truth) < 2:
        return MetricValue(value=None, undefined="fewer than two samples")
    for name, values in (("target", truth), ("prediction", predicted)):
        if np.ptp(values) == 0:
            return MetricValue(value=None, undefined=f"the {name} is constant ({values[0]:g})")
    return MetricValue(value=float(np.corrcoef(truth, predicted)[0, 1]))


def ccc(truth: Floats, predicted: Floats, *, moments: Literal["unbiased", "population"] = "unbiased") -> MetricValue:
    """Return Lin's concordance correlation coefficient, 2 cov / (var + var + (mean - mean)^2).

    Args:
        moments: unbiased, as in the code of AVF-MAE++, or those of the population, as in the ABAW challenges.
    """
    if len(truth) < 2:
        return MetricValue(value=None, undefined="fewer than two samples")
    if np.ptp(truth) == 0:
        return MetricValue(value=None, undefined=f"the target is constant ({truth[0]:g})")
    (var_t, cov), (_, var_p) = np.cov(truth, predicted, bias=moments == "population")
    return MetricValue(value=float(2 * cov / (var_t + var_p + (truth.mean() - predicted.mean()) ** 2)))


def auc(truth: Sequence[int], scores_NC: Floats) -> MetricValue:
    """Return the area under the ROC curve of class 1, or with more than two classes the mean of each against the rest.

    Undefined where a class has no sample, or every sample.
    """
    from scipy.stats import rankdata  # two seconds to import, which commands that compute no AUC save

    labels_N = np.asarray(truth)
    classes = scores_NC.shape[1]
    areas = []
    for c in range(classes) if classes > 2 else [1]:
        is_class_N = labels_N == c
        positive, negative = int(is_class_N.sum()), int((~is_class_N).sum())
        if not positive or not negative:
            return MetricValue(value=None, undefined=f"class {c} has {'no' if not positive else 'every'} sample")
        # The Mann-Whitney U statistic; average ranks count a tie as half.
        ranks_N = rankdata(scores_NC[:, c])
        areas.append((ranks_N[is_class_N].sum() - positive * (positive + 1) / 2) / (positive * negative))
    return MetricValue(value=float(np.mean(areas)))
