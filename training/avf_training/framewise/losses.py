"""Losses of frame-level training: concordance, focal, robust regression, and the weighted losses of NetEase.

Shapes: N frames (a batch of clips, flattened), C classes, A action units.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

AU_WEIGHTS = (
    5.278187667237907,
    12.42675934708439,
    3.9182460964352357,
    2.3713836486482838,
    1.5735074526534674,
    1.8198100142634426,
    2.586578383618721,
    22.66022149366239,
    20.121237822349574,
    22.104986149584487,
    1.0,
    8.264810560409762,
)
"""Weight of each action unit in NetEase's loss: frames with the most common unit / frames with this one."""

EXPRESSION_WEIGHTS = (
    1.0,
    10.399988319803773,
    16.23179290857716,
    19.607905747632678,
    1.8556467915720152,
    2.225347712532647,
    5.610554505356018,
    1.0590043828089226,
)
"""Weight of each expression in NetEase's loss: frames of the most common class / frames of this one."""

TWO_LABELS_FACTOR = {"va": 0.5, "expr": 1.0, "au": 10.0}
"""Factor of each task's loss where NetEase's second branch is trained."""

Reduction = Literal["mean", "sum"]


def concordance_loss(predicted_N: Tensor, truth_N: Tensor, eps: float = 1e-8) -> Tensor:
    """Return 1 - CCC over the whole batch, as one set of frames; 1 for a constant prediction.

    The deviations are unbiased and the correlation is not, as in both systems; eps keeps the gradient of a constant
    prediction finite.
    """
    predicted_N, truth_N = predicted_N.flatten(), truth_N.flatten()
    predicted_mean, truth_mean = predicted_N.mean(), truth_N.mean()
    centred_N, truth_centred_N = predicted_N - predicted_mean, truth_N - truth_mean
    size, truth_size = torch.linalg.vector_norm(centred_N), torch.linalg.vector_norm(truth_centred_N)
    # The norm's gradient at 0 is 0, so a constant prediction gets a finite one.
    correlation = (centred_N * truth_centred_N).sum() / (size * truth_size + eps)
    # |x| / sqrt(N - 1) is the unbiased deviation, and its gradient at 0 is finite, which that of std() is not.
    freedom = max(1, len(predicted_N) - 1)
    deviation, truth_deviation = size / math.sqrt(freedom), truth_size / math.sqrt(freedom)
    spread = deviation.square() + truth_deviation.square() + (predicted_mean - truth_mean).square()
    # Two equal constants: 0 / 0 would be nan, and the convention is 1 as for any other constant.
    loss: Tensor = 1 - 2 * correlation * deviation * truth_deviation / spread.clamp_min(torch.finfo(spread.dtype).tiny)
    return loss


def valence_arousal_loss(
    predicted_N2: Tensor,
    truth_N2: Tensor,
    *,
    valence_weight: float = 1.0,
    arousal_weight: float = 1.0,
    clamp: bool = False,
) -> Tensor:
    """Return the weighted sum of both concordance losses.

    Args:
        clamp: limit predictions to [-1, 1] inside the loss, as NetEase's code does: those beyond get no gradient.
    """
    if clamp:
        predicted_N2 = predicted_N2.clamp(-1, 1)
    predicted_N2, truth_N2 = predicted_N2.flatten(0, -2), truth_N2.flatten(0, -2)
    valence = concordance_loss(predicted_N2[:, 0], truth_N2[:, 0])
    arousal = concordance_loss(predicted_N2[:, 1], truth_N2[:, 1])
    return valence_weight * valence + arousal_weight * arousal


def two_label_loss(
    loss: Callable[[Tensor], Tensor], truths: tuple[Tensor, Tensor], share: float, factor: float = 1.0
) -> Tensor:
    """Return the loss of a prediction that two branches made of two batches of clips.

    Args:
        loss: of the prediction, for the labels of a batch.
        truths: labels of the base branch's clips, and of the other's.
        share: of the base branch.
        factor: of the task, see TWO_LABELS_FACTOR.
    """
    return factor * (share * loss(truths[0]) + (1 - share) * loss(truths[1]))


def soft_focal_loss(
    logits_NC: Tensor, targets_NC: Tensor, *, gamma: float = 2.0, class_weights_C: Tensor | None = None
) -> Tensor:
    """Return the mean over frames of sum_c alpha_c (1 - p_c)^gamma (-y_c log p_c).

    Args:
        targets_NC: probabilities of the classes; one-hot rows for hard labels.
        gamma: 0 is cross-entropy.
        class_weights_C: alpha; 1 for all where None.
    """
    logits_NC, targets_NC = logits_NC.flatten(0, -2), targets_NC.flatten(0, -2)
    probabilities_NC = logits_NC.softmax(-1).clamp(1e-7, 1 - 1e-7)
    loss_NC = -targets_NC * probabilities_NC.log() * (1 - probabilities_NC) ** gamma
    if class_weights_C is not None:
        loss_NC = loss_NC * class_weights_C
    return loss_NC.sum(-1).mean()


def normalized_inverse_shares(counts_C: Tensor) -> Tensor:
    """Return SUN's focal weights: 1 / share of each class, scaled to sum 1. A class without frames gets 0."""
    inverse_C = torch.where(counts_C > 0, counts_C.sum() / counts_C.clamp_min(1), 0.0)
    return inverse_C / inverse_C.sum()


def largest_over_each(counts_C: Tensor) -> Tensor:
    """Return N_max / N_c of each class, the weights of NetEase and of SUN's audio. A class without frames gets 0."""
    return torch.where(counts_C > 0, counts_C.max() / counts_C.clamp_min(1), 0.0)


def root_mean_square_loss(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return the root of the mean square error; its gradient at a perfect prediction is 0, not infinite."""
    difference = predicted - truth
    loss: Tensor = torch.linalg.vector_norm(difference) / math.sqrt(max(1, difference.numel()))
    return loss


def log_cosh_loss(predicted: Tensor, truth: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Return log(cosh(error)), in a form that does not overflow; SUN's code takes the mean, its paper the sum."""
    size = (predicted - truth).abs()
    loss = size + F.softplus(-2 * size) - math.log(2)
    return loss.mean() if reduction == "mean" else loss.sum()


def relative_squared_loss(predicted: Tensor, truth: Tensor, eps: float = 1e-8) -> Tensor:
    """Return the squared error relative to that of the truth's mean, which scores 1."""
    error = (predicted - truth).square().sum()
    return error / ((truth - truth.mean()).square().sum() + eps)


def weighted_action_unit_loss(logits_NA: Tensor, truth_NA: Tensor, weights_A: Tensor | None = None) -> Tensor:
    """Return the mean over frames and action units of w_a times the binary cross-entropy.

    Args:
        weights_A: weigh both classes of a unit alike; those of NetEase where None.
    """
    logits_NA, truth_NA = logits_NA.flatten(0, -2), truth_NA.flatten(0, -2)
    weights_A = logits_NA.new_tensor(AU_WEIGHTS) if weights_A is None else weights_A
    return F.binary_cross_entropy_with_logits(logits_NA, truth_NA.to(logits_NA.dtype), weight=weights_A)


def weighted_expression_loss(
    logits_NC: Tensor,
    labels_N: Tensor,
    weights_C: Tensor | None = None,
    *,
    divide_by: Literal["label_weights", "classes"] = "label_weights",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the weighted cross-entropy of expressions.

    Args:
        weights_C: those of NetEase where None.
        divide_by: the sum of the labels' weights, as the code does; or the classes and the frames, as its paper's
            equation 2 reads for one frame.
        label_smoothing: share of the target that all classes get alike; .2 for SUN's audio.
    """
    logits_NC, labels_N = logits_NC.flatten(0, -2), labels_N.flatten()
    weights_C = logits_NC.new_tensor(EXPRESSION_WEIGHTS) if weights_C is None else weights_C
    if divide_by == "label_weights":
        return F.cross_entropy(logits_NC, labels_N, weight=weights_C, label_smoothing=label_smoothing)
    total = F.cross_entropy(logits_NC, labels_N, weight=weights_C, reduction="sum", label_smoothing=label_smoothing)
    return total / (logits_NC.shape[-1] * max(1, len(labels_N)))
