"""Calibration error and temperature against sums by hand and a search over a grid."""

import numpy as np
import numpy.typing as npt
import pytest
from avf_training.evaluation.calibration import (
    calibration_error,
    fit_temperature,
    reliability_bins,
    temper,
)
from avf_training.evaluation.scoring import Predictions


def make_predictions(scores_NJ: npt.NDArray[np.float64], truth: list[int]) -> Predictions:
    keys = tuple(map(str, range(len(truth))))
    return Predictions(keys=keys, truth=np.array(truth, float), scores_NJ=np.array(scores_NJ))


def softmax(logits_NJ: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    powers_NJ: npt.NDArray[np.float64] = np.exp(logits_NJ)
    return powers_NJ / powers_NJ.sum(1, keepdims=True)


def test_the_calibration_error_is_the_mean_gap_of_the_bins() -> None:
    """Confidences 0.62 and 0.68 with one right, 0.9 and 1.0 with both right."""
    scores = np.array([[0.62, 0.38], [0.32, 0.68], [0.1, 0.9], [1.0, 0.0]])
    bins = reliability_bins(make_predictions(scores, [0, 0, 1, 0]))
    assert [(each.confidence, each.right, each.clips) for each in bins] == [(0.65, 0.5, 2), (0.95, 1.0, 2)]
    assert calibration_error(bins) == pytest.approx((0.15 + 0.05) / 2)


def test_tempered_probabilities_are_those_of_the_divided_logits() -> None:
    logits = np.random.default_rng(0).normal(0, 4, (50, 5))
    assert temper(softmax(logits), 2.5) == pytest.approx(softmax(logits / 2.5), abs=1e-12)
    assert temper(np.array([[1.0, 0.0]]), 10.0).sum() == pytest.approx(1), "a probability of 0 is no NaN"


@pytest.mark.parametrize("times", [0.4, 1.0, 3.0])
def test_the_temperature_is_that_of_the_lowest_likelihood(times: float) -> None:
    draw = np.random.default_rng(1)
    logits = draw.normal(0, 2, (3000, 4))
    truth = [int(draw.choice(4, p=row)) for row in softmax(logits)]
    over_confident = make_predictions(softmax(logits * times), truth)
    grid = np.geomspace(0.1, 10, 4001)
    likelihoods = [-np.log(softmax(logits * times / each)[np.arange(3000), truth]).mean() for each in grid]
    temperature = fit_temperature(over_confident)
    assert temperature is not None
    assert temperature == pytest.approx(grid[int(np.argmin(likelihoods))], rel=2e-3)
    assert temperature == pytest.approx(times, rel=0.1)
    tempered = make_predictions(temper(over_confident.scores_NJ, temperature), truth)
    assert calibration_error(reliability_bins(tempered)) < 0.03


def test_clips_that_are_all_right_or_all_wrong_determine_no_temperature() -> None:
    scores = np.array([[0.9, 0.1]] * 4)
    assert fit_temperature(make_predictions(scores, [0] * 4)) is None
    assert fit_temperature(make_predictions(scores, [1] * 4)) is None
    assert fit_temperature(make_predictions(scores, [0, 0, 0, 1])) == pytest.approx(2.0, rel=0.01), "0.9 becomes 3/4"
