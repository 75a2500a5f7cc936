"""Losses of frame-level training at the edges that training meets: constant predictions, clamping, absent classes."""

import math

import pytest
import torch
from avf_training.framewise import losses
from torch.nn import functional as F

TRUTH_N2 = torch.tensor([[0.1, -0.4], [0.5, 0.2], [-0.3, 0.3], [0.9, -0.9]], dtype=torch.float64)


def test_a_perfect_prediction_costs_nothing() -> None:
    assert float(losses.valence_arousal_loss(TRUTH_N2, TRUTH_N2)) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("truth", [TRUTH_N2[:, 0], torch.full((4,), 0.2, dtype=torch.float64)])
def test_a_constant_prediction_costs_1_and_its_gradient_is_finite(truth: torch.Tensor) -> None:
    predicted = torch.full((4,), 0.2, dtype=torch.float64, requires_grad=True)
    loss = losses.concordance_loss(predicted, truth)
    loss.backward()  # type: ignore[no-untyped-call]  # torch annotates it so
    assert loss.item() == 1
    assert predicted.grad is not None
    assert bool(predicted.grad.isfinite().all())


def test_the_loss_is_that_of_the_whole_batch_and_not_the_mean_of_its_clips() -> None:
    first, second = TRUTH_N2[:2], TRUTH_N2[2:]
    predicted = TRUTH_N2 * 0.5 + 0.1
    together = losses.valence_arousal_loss(predicted.view(2, 2, 2), TRUTH_N2.view(2, 2, 2))
    apart = [losses.valence_arousal_loss(predicted[rows], TRUTH_N2[rows]) for rows in (slice(0, 2), slice(2, 4))]
    assert len(first) == len(second)
    assert together == losses.valence_arousal_loss(predicted, TRUTH_N2)
    assert abs(float(together) - float(sum(apart) / 2)) > 1e-3


def test_clamped_predictions_get_no_gradient_and_unclamped_ones_do() -> None:
    for clamp, expected in ((True, 0.0), (False, None)):
        predicted = torch.tensor([[0.2, 0.1], [1.5, 0.3], [-0.4, 0.2]], dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(losses.valence_arousal_loss(predicted, TRUTH_N2[:3], clamp=clamp), predicted)
        if expected is not None:
            assert gradient[1, 0] == expected
        else:
            assert gradient[1, 0] != 0


def test_log_cosh_does_not_overflow() -> None:
    error = torch.tensor([0.0, 1.0, -2000.0], dtype=torch.float64)
    zero = torch.zeros_like(error)
    assert float(losses.log_cosh_loss(error[:2], zero[:2], "sum")) == pytest.approx(math.log(math.cosh(1)))
    assert float(losses.log_cosh_loss(error[2:], zero[2:])) == pytest.approx(2000 - math.log(2))


def test_robust_losses_at_a_perfect_prediction_and_at_the_mean() -> None:
    truth = TRUTH_N2[:, 0]
    predicted = truth.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(losses.root_mean_square_loss(predicted, truth), predicted)
    assert bool(gradient.isfinite().all())
    assert float(losses.relative_squared_loss(truth, truth)) == 0
    assert float(losses.relative_squared_loss(truth.mean().expand(4), truth)) == pytest.approx(1, abs=1e-6)


def test_focal_loss_without_focus_is_cross_entropy() -> None:
    logits = torch.tensor([[0.2, 1.0, -1.0], [2.0, 0.0, 0.1]], dtype=torch.float64)
    labels = torch.tensor([1, 2])
    ours = losses.soft_focal_loss(logits, F.one_hot(labels, 3).double(), gamma=0)
    assert float(ours) == pytest.approx(float(F.cross_entropy(logits, labels)))
    assert float(losses.soft_focal_loss(logits, F.one_hot(labels, 3).double())) < float(ours)


def test_weights_of_classes_by_their_counts() -> None:
    counts = torch.tensor([60.0, 30.0, 0.0, 10.0], dtype=torch.float64)
    weights = losses.normalized_inverse_shares(counts)
    assert float(weights.sum()) == pytest.approx(1)
    assert weights[2] == 0
    assert float(weights[3] / weights[0]) == pytest.approx(6)
    assert losses.largest_over_each(counts).tolist() == [1, 2, 0, 6]


def test_expression_loss_divides_by_label_weights_or_by_classes() -> None:
    logits, labels = torch.zeros(2, 8, dtype=torch.float64), torch.tensor([0, 3])
    by_weights = losses.weighted_expression_loss(logits, labels)
    by_classes = losses.weighted_expression_loss(logits, labels, divide_by="classes")
    assert float(by_weights) == pytest.approx(math.log(8))
    assert float(by_classes) == pytest.approx(math.log(8) * (1 + losses.EXPRESSION_WEIGHTS[3]) / 16)


def test_action_unit_weights_weigh_both_classes() -> None:
    logits = torch.zeros(1, 12, dtype=torch.float64)
    expected = math.log(2) * sum(losses.AU_WEIGHTS) / 12
    for truth in (torch.zeros(1, 12), torch.ones(1, 12)):
        assert float(losses.weighted_action_unit_loss(logits, truth)) == pytest.approx(expected)
