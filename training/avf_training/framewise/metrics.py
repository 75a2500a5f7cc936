"""The challenge's metrics over all frames of a set: CCC of valence and arousal, F1 of expressions and action units.

Shapes: N frames. A frame without a complete label does not count: -5 in valence or arousal, -1 for an expression or for
any action unit.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from avf_training.evaluation.metrics import Floats, MetricValue, ccc, confusion, f1

WholeNumbers = npt.NDArray[np.int64]

MISSING_VALENCE_AROUSAL = -5.0
"""Label of a frame whose valence or arousal is not known."""

MISSING_CLASS = -1
"""Label of a frame whose expression or action unit is not known."""

EXPRESSIONS = ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Other")
ACTION_UNITS = (1, 2, 4, 6, 7, 10, 12, 15, 23, 24, 25, 26)
AU_THRESHOLD = 0.5  # of a probability; an action unit is on from here


@dataclass(frozen=True, kw_only=True)
class ValenceArousalScore:
    """CCC of both dimensions over the frames that count."""

    valence: MetricValue
    arousal: MetricValue
    frames: int  # that both are computed from

    @property
    def mean(self) -> MetricValue:
        """Return the challenge's score, (CCC of valence + CCC of arousal) / 2; undefined where one of both is."""
        if self.valence.value is None or self.arousal.value is None:
            reason = self.valence.undefined or self.arousal.undefined
            return MetricValue(value=None, undefined=reason)
        return MetricValue(value=(self.valence.value + self.arousal.value) / 2)


@dataclass(frozen=True, kw_only=True)
class FixedMacroF1:
    """F1 of every class and their mean over a fixed number of classes."""

    each: tuple[float, ...]  # F1 of each class; 0 for a class that is neither true nor predicted
    frames: int  # that they are computed from

    @property
    def mean(self) -> MetricValue:
        """Return the mean over all classes, absent ones included; undefined without a frame."""
        if not self.frames:
            return MetricValue(value=None, undefined="no frame has a complete label")
        return MetricValue(value=float(np.mean(self.each)))


def score_valence_arousal(
    truth_N2: Floats,
    predicted_N2: Floats,
    *,
    arousal_reads: Literal["arousal", "valence"] = "arousal",
    columns: Literal["valence_arousal", "arousal_valence"] = "valence_arousal",
    moments: Literal["population", "unbiased"] = "population",
) -> ValenceArousalScore:
    """Return the CCC of valence (column 0) and arousal (column 1), with the challenge's population moments.

    Pairs with a NaN are dropped too.

    Args:
        arousal_reads: `valence` reproduces the development score of SUN's audio code, whose arousal reads channel 0.
        columns: `arousal_valence` reproduces that of SUN's dynamic code, which swaps the columns of the predictions.
        moments: `unbiased` divides by N - 1.
    """
    valid_N = (truth_N2 != MISSING_VALENCE_AROUSAL).all(1) & np.isfinite(truth_N2).all(1)
    valid_N &= np.isfinite(predicted_N2).all(1)
    truth_V2, predicted_V2 = truth_N2[valid_N], predicted_N2[valid_N]
    if columns == "arousal_valence":
        predicted_V2 = predicted_V2[:, ::-1]
    arousal = 1 if arousal_reads == "arousal" else 0
    return ValenceArousalScore(
        valence=ccc(truth_V2[:, 0], predicted_V2[:, 0], moments=moments),
        arousal=ccc(truth_V2[:, arousal], predicted_V2[:, arousal], moments=moments),
        frames=int(valid_N.sum()),
    )


def score_expressions(
    truth_N: npt.NDArray[np.integer], predicted_N: npt.NDArray[np.integer], classes: int = len(EXPRESSIONS)
) -> FixedMacroF1:
    """Return the F1 of each expression; their mean divides by all classes, so an absent class scores 0."""
    valid_N = truth_N != MISSING_CLASS
    counts_CC = confusion(truth_N[valid_N].tolist(), predicted_N[valid_N].tolist(), classes)
    return FixedMacroF1(each=tuple(map(float, f1(counts_CC))), frames=int(valid_N.sum()))


def score_action_units(truth_NA: npt.NDArray[np.integer], probabilities_NA: Floats) -> FixedMacroF1:
    """Return the F1 of class 1 of each action unit, on from a probability of 0.5."""
    valid_N = (truth_NA != MISSING_CLASS).all(1)
    true_VA = truth_NA[valid_N] == 1
    on_VA = probabilities_NA[valid_N] >= AU_THRESHOLD
    hits_A = (true_VA & on_VA).sum(0)
    total_A = true_VA.sum(0) + on_VA.sum(0)
    f1_A = np.zeros(truth_NA.shape[1])
    np.divide(2 * hits_A, total_A, out=f1_A, where=total_A > 0)
    return FixedMacroF1(each=tuple(map(float, f1_A)), frames=int(valid_N.sum()))
