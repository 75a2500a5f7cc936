"""Calibration of probabilities: how often a prediction of some confidence is right, and one temperature that mends it.

Guo et al. 2017: the logits are divided by a temperature, which minimises the negative log-likelihood of clips that the
model has not learned from. The order of the classes stays. Shapes: N clips, J classes.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from avf_training.evaluation.metrics import Floats
from avf_training.evaluation.scoring import Predictions

BINS = 10  # of equal width, over confidences from 0 to 1
# A temperature outside says that the clips are too few, or all right, or all wrong, not that a model is so far off.
TEMPERATURES = (0.1, 10.0)
_AT_BOUND = 0.01  # distance from the logarithm of a bound
_SMALLEST = 1e-45  # probability above 0 of fp32, of which a logarithm is taken


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """Predictions of about the same confidence, the probability of the predicted class."""

    confidence: float  # their mean confidence
    right: float  # share of them that is right
    clips: int  # how many they are


def reliability_bins(predictions: Predictions) -> list[ReliabilityBin]:
    """Return the bins that hold predictions, by rising confidence."""
    confidence_N, right_N = predictions.scores_NJ.max(1), predictions.scores_NJ.argmax(1) == predictions.truth
    bin_N = np.minimum((confidence_N * BINS).astype(int), BINS - 1)
    members = [bin_N == index for index in range(BINS)]
    return [
        ReliabilityBin(
            confidence=float(confidence_N[in_bin_N].mean()),
            right=float(right_N[in_bin_N].mean()),
            clips=int(in_bin_N.sum()),
        )
        for in_bin_N in members
        if in_bin_N.any()
    ]


def calibration_error(bins: list[ReliabilityBin]) -> float:
    """Return the expected calibration error (ECE): the mean over clips of |share right - confidence| of their bin."""
    clips = sum(each.clips for each in bins)
    return sum(each.clips / clips * abs(each.right - each.confidence) for each in bins)


def negative_log_likelihood(predictions: Predictions) -> float:
    """Return the mean of -log of the probability of the true class."""
    true_N = predictions.scores_NJ[np.arange(len(predictions.truth)), predictions.truth.astype(int)]
    return float(-np.log(np.maximum(true_N, _SMALLEST)).mean())


def describe_reliability(predictions: Predictions) -> dict[str, Any]:
    """Return error, likelihood and bins as values of result.json."""
    bins = reliability_bins(predictions)
    likelihood = negative_log_likelihood(predictions)
    return {"ece": calibration_error(bins), "nll": likelihood, "bins": [asdict(each) for each in bins]}


def temper(scores_NJ: Floats, temperature: float) -> Floats:
    """Return the probabilities of logits that are divided by a temperature, from those of the logits as they are."""
    logits_NJ = np.log(np.maximum(scores_NJ, _SMALLEST)) / temperature
    powers_NJ = np.exp(logits_NJ - logits_NJ.max(1, keepdims=True))
    tempered_NJ: Floats = powers_NJ / powers_NJ.sum(1, keepdims=True)
    return tempered_NJ


def fit_temperature(predictions: Predictions) -> float | None:
    """Return the temperature that gives the lowest negative log-likelihood.

    Return None where that would lie at a bound of TEMPERATURES: the clips are then all right, or no better than chance,
    and say nothing of how sure the model may be.

    Args:
        predictions: of single views; the mean of several has no logits.
    """
    from scipy.optimize import minimize_scalar  # a second to import, which runs without calibration save

    def likelihood(log_temperature: float) -> float:
        tempered_NJ = temper(predictions.scores_NJ, math.exp(log_temperature))
        return negative_log_likelihood(
            Predictions(keys=predictions.keys, truth=predictions.truth, scores_NJ=tempered_NJ)
        )

    # The likelihood is convex in 1 / temperature, so that there is one minimum.
    low, high = TEMPERATURES
    fitted = minimize_scalar(likelihood, bounds=(math.log(low), math.log(high)), method="bounded")
    temperature = math.exp(float(fitted.x))
    # The search ends a little inside of a bound.
    at_bound = min(abs(math.log(temperature / bound)) for bound in TEMPERATURES) < _AT_BOUND
    return None if at_bound else temperature
