"""The challenge's metrics: which frames count, fixed denominators, population moments, and what is undefined."""

import numpy as np
import pytest
from avf_training.evaluation.metrics import ccc
from avf_training.framewise.metrics import score_action_units, score_expressions, score_valence_arousal

TRUTH_N2 = np.array([[0.1, -0.4], [0.5, 0.2], [-0.3, 0.3], [0.9, -0.9]])
PREDICTED_N2 = np.array([[0.2, -0.2], [0.3, 0.1], [-0.1, 0.4], [0.5, -0.6]])


def test_population_moments_differ_from_unbiased_ones_where_means_differ() -> None:
    truth, predicted = TRUTH_N2[:, 0], PREDICTED_N2[:, 0]
    covariance = float(np.mean((truth - truth.mean()) * (predicted - predicted.mean())))
    expected = 2 * covariance / (truth.var() + predicted.var() + (truth.mean() - predicted.mean()) ** 2)
    population = score_valence_arousal(TRUTH_N2, PREDICTED_N2).valence.value
    unbiased = score_valence_arousal(TRUTH_N2, PREDICTED_N2, moments="unbiased").valence.value
    assert population == pytest.approx(expected, abs=1e-15)
    assert unbiased == ccc(truth, predicted).value != population


def test_a_frame_with_minus_5_in_one_dimension_counts_in_none() -> None:
    truth = np.vstack([TRUTH_N2, [0.3, -5.0], [-5.0, 0.2], [-5.0, -5.0]])
    predicted = np.vstack([PREDICTED_N2, np.ones((3, 2))])
    assert score_valence_arousal(truth, predicted) == score_valence_arousal(TRUTH_N2, PREDICTED_N2)


def test_only_minus_5_in_arousal_leaves_no_frame_and_no_score() -> None:
    truth = TRUTH_N2.copy()
    truth[:, 1] = -5
    score = score_valence_arousal(truth, PREDICTED_N2)
    assert score.frames == 0
    assert score.mean.value is None
    assert "two samples" in score.mean.undefined


def test_a_constant_prediction_scores_0_and_a_constant_truth_is_undefined() -> None:
    constant = np.full((4, 2), 0.3)
    assert score_valence_arousal(TRUTH_N2, constant).mean.value == 0
    assert score_valence_arousal(constant, PREDICTED_N2).mean.value is None


def test_the_development_scores_of_the_authors_code() -> None:
    ours = score_valence_arousal(TRUTH_N2, PREDICTED_N2)
    reads_valence = score_valence_arousal(TRUTH_N2, PREDICTED_N2, arousal_reads="valence")
    swapped = score_valence_arousal(TRUTH_N2, PREDICTED_N2, columns="arousal_valence")
    assert reads_valence.arousal == reads_valence.valence == ours.valence
    assert swapped == score_valence_arousal(TRUTH_N2, PREDICTED_N2[:, ::-1])


def test_an_absent_expression_scores_0_of_8() -> None:
    truth = np.array([0, 0, 4, 4, -1])
    score = score_expressions(truth, np.array([0, 0, 4, 4, 7]))
    assert score.frames == 4
    assert score.mean.value == 2 / 8
    assert score.each == (1, 0, 0, 0, 1, 0, 0, 0)


def test_action_units_are_on_from_one_half_and_incomplete_frames_do_not_count() -> None:
    truth = np.zeros((3, 12), int)
    truth[0, 0] = truth[1, 1] = 1
    truth[2] = 1
    truth[2, 5] = -1
    probabilities = np.full((3, 12), 0.49)
    probabilities[0, 0] = 0.5
    score = score_action_units(truth, probabilities)
    assert score.frames == 2
    assert score.each == (1.0, *[0.0] * 11)
    assert score.mean.value == pytest.approx(1 / 12)


def test_a_set_without_a_valid_label_has_no_score() -> None:
    assert score_expressions(np.array([-1, -1]), np.array([0, 1])).mean.value is None
    assert score_action_units(np.full((2, 12), -1), np.zeros((2, 12))).mean.value is None
