"""UAR, WAR, F1s, PCC, CCC, AUC. A value that is not defined says why instead of being a number.

From confusion matrices (rows: truth, columns: prediction), so that folds can be summed first, as cross-validation and
leave-one-subject-out report it. C: classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class MetricValue:
    """A metric's value, or None and the rule by which it has none."""

    value: float | None
    undefined: str = ""

    def __str__(self) -> str:
        return f"undefined ({self.undefined})" if self.value is None else f"{self.value:.4f}"


def confusion(truth: Sequence[int], predicted: Sequence[int], classes: int) -> Counts:
    """(C, C) counts. Raises ValueError naming the first index that is no class."""
    counts = np.zeros((classes, classes), np.int64)
    for place, (true, told) in enumerate(zip(truth, predicted, strict=True)):
        if not (0 <= true < classes and 0 <= told < classes):
            raise ValueError(f"sample {place}: class {true} predicted as {told}, there are {classes} classes")
        counts[true, told] += 1
    return counts


def recalls(counts_CC: Counts) -> list[MetricValue]:
    """Recall of each class; undefined for a class of which there is no sample."""
    support_C = counts_CC.sum(1)
    return [
        MetricValue(value=float(counts_CC[c, c] / support_C[c]))
        if support_C[c]
        else MetricValue(value=None, undefined=f"class {c} has no sample")
        for c in range(len(counts_CC))
    ]


def war(counts_CC: Counts) -> MetricValue:
    """Weighted average recall: the share that is right."""
    total = int(counts_CC.sum())
    return (
        MetricValue(value=float(np.trace(counts_CC) / total))
        if total
        else MetricValue(value=None, undefined="there is no sample")
    )


def uar(counts_CC: Counts) -> MetricValue:
    """Unweighted average recall: the mean of the recalls of the classes that have samples."""
    known = [one.value for one in recalls(counts_CC) if one.value is not None]
    return (
        MetricValue(value=float(np.mean(known))) if known else MetricValue(value=None, undefined="there is no sample")
    )


def f1(counts_CC: Counts) -> Floats:
    """F1 of each class, (C,): 2 tp / (2 tp + fp + fn), 0 where a class is neither there nor predicted."""
    hits_C = np.diag(counts_CC).astype(float)
    total_C = counts_CC.sum(0) + counts_CC.sum(1)
    f1_C = np.zeros(len(counts_CC))
    np.divide(2 * hits_C, total_C, out=f1_C, where=total_C > 0)
    return f1_C


def weighted_f1(counts_CC: Counts) -> MetricValue:
    """Mean of the F1s, weighted by how many samples each class has."""
    support_C = counts_CC.sum(1)
    if not support_C.sum():
        return MetricValue(value=None, undefined="there is no sample")
    return MetricValue(value=float((f1(counts_CC) * support_C).sum() / support_C.sum()))


def macro_f1(counts_CC: Counts) -> MetricValue:
    """Plain mean of the F1s over the classes that are there or predicted. UF1 (MEGC 2019) is this on summed folds."""
    here_C = counts_CC.sum(0) + counts_CC.sum(1) > 0
    return (
        MetricValue(value=float(f1(counts_CC)[here_C].mean()))
        if here_C.any()
        else MetricValue(value=None, undefined="there is no sample")
    )


def pcc(truth: Floats, predicted: Floats) -> MetricValue:
    """Pearson's correlation."""
    if len(truth) < 2:
        return MetricValue(value=None, undefined="fewer than two samples")
    for name, values in (("target", truth), ("prediction", predicted)):
        if np.ptp(values) == 0:
            return MetricValue(value=None, undefined=f"the {name} is constant ({values[0]:g})")
    return MetricValue(value=float(np.corrcoef(truth, predicted)[0, 1]))


def ccc(truth: Floats, predicted: Floats) -> MetricValue:
    """Lin's concordance, 2 cov / (var + var + (mean - mean)^2), with unbiased moments as the authors take them."""
    if len(truth) < 2:
        return MetricValue(value=None, undefined="fewer than two samples")
    if np.ptp(truth) == 0:
        return MetricValue(value=None, undefined=f"the target is constant ({truth[0]:g})")
    (var_t, cov), (_, var_p) = np.cov(truth, predicted)
    return MetricValue(value=float(2 * cov / (var_t + var_p + (truth.mean() - predicted.mean()) ** 2)))


def auc(truth: Sequence[int], scores_NC: Floats) -> MetricValue:
    """Area under the ROC curve: class 1 against class 0, or the mean over classes of one against the rest."""
    from scipy.stats import rankdata  # two seconds to import, and an answer needs no metric

    labels = np.asarray(truth)
    classes = scores_NC.shape[1]
    found = []
    for c in range(classes) if classes > 2 else [1]:
        here = labels == c
        positive, negative = int(here.sum()), int((~here).sum())
        if not positive or not negative:
            return MetricValue(value=None, undefined=f"class {c} has {'no' if not positive else 'every'} sample")
        ranks = rankdata(scores_NC[:, c])
        found.append((ranks[here].sum() - positive * (positive + 1) / 2) / (positive * negative))
    return MetricValue(value=float(np.mean(found)))
