"""Losses of labelled pictures, on the values that are valid. B pictures, O outputs, K values of a label, C classes."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from avf_training.framewise.labels.tasks import FrameLabelTask
from avf_training.framewise.losses import (
    AU_WEIGHTS,
    EXPRESSION_WEIGHTS,
    largest_over_each,
    log_cosh_loss,
    normalized_inverse_shares,
    relative_squared_loss,
    root_mean_square_loss,
    soft_focal_loss,
    valence_arousal_loss,
    weighted_expression_loss,
)
from avf_training.framewise.pictures.finetune_recipe import DimensionLoss, ImageFinetuneRecipe
from avf_training.framewise.pictures.labelled import Values
from avf_training.framewise.protocol import ProtocolOptions

PictureLoss = Callable[[Tensor, Tensor], Tensor]
"""From predictions (B, O) and labels (B, K), nan where not valid, to the loss of a batch."""


def make_picture_loss(task: FrameLabelTask, weights_C: Tensor | None, recipe: ImageFinetuneRecipe) -> PictureLoss:
    """Return the loss of a task; a batch without a valid label has the loss 0.

    Args:
        task: that is learned.
        weights_C: of the classes or action units; None: 1.
        recipe: which losses, and by its protocol whether predictions are clamped, and what a loss is divided by.
    """
    options = recipe.options()

    def of_dimensions(predicted_B2: Tensor, values_B2: Tensor) -> Tensor:
        valid_B = values_B2.isfinite().all(1)
        if int(valid_B.sum()) < 2:  # two pictures are the fewest that have a concordance
            return predicted_B2.sum() * 0
        return _dimension_loss(recipe.dimension_loss, predicted_B2[valid_B], values_B2[valid_B], options)

    def of_classes(logits_BC: Tensor, values_B1: Tensor) -> Tensor:
        valid_B = values_B1.isfinite().all(1)
        if not valid_B.any():
            return logits_BC.sum() * 0
        weights = logits_BC.new_ones(logits_BC.shape[1]) if weights_C is None else weights_C.to(logits_BC)
        labels_N = values_B1[valid_B, 0].long()
        if recipe.expression_loss == "focal":
            targets_NC = F.one_hot(labels_N, logits_BC.shape[1]).to(logits_BC.dtype)
            return soft_focal_loss(logits_BC[valid_B], targets_NC, class_weights_C=weights)
        divide_by = options.expression_loss_divides_by
        return weighted_expression_loss(logits_BC[valid_B], labels_N, weights, divide_by=divide_by)

    def of_units(logits_BA: Tensor, values_BA: Tensor) -> Tensor:
        valid_BA = values_BA.isfinite()
        weights = logits_BA.new_ones(logits_BA.shape[1]) if weights_C is None else weights_C.to(logits_BA)
        truth_BA = torch.where(valid_BA, values_BA, 0.0)
        loss_BA = F.binary_cross_entropy_with_logits(logits_BA, truth_BA, weight=weights, reduction="none")
        return (loss_BA * valid_BA).sum() / valid_BA.sum().clamp_min(1)  # the mean of those that are labelled

    return {"va": of_dimensions, "expr": of_classes, "au": of_units}[task.name]


def _dimension_loss(kind: DimensionLoss, predicted_N2: Tensor, truth_N2: Tensor, options: ProtocolOptions) -> Tensor:
    """Return the loss of valence and arousal; but for concordance the mean of both, as SUN takes it."""
    if kind == "concordance":
        return valence_arousal_loss(predicted_N2, truth_N2, clamp=options.clamp_in_loss == "yes")
    losses = {
        "log_cosh": lambda predicted_N, truth_N: log_cosh_loss(predicted_N, truth_N, options.log_cosh_reduction),
        "rmse": root_mean_square_loss,
        "rse": relative_squared_loss,
    }
    loss_of = losses[kind]
    return torch.stack([loss_of(predicted_N2[:, column], truth_N2[:, column]) for column in range(2)]).mean()


def choose_weights(task: FrameLabelTask, recipe: ImageFinetuneRecipe, values_NK: Values) -> Tensor | None:
    """Return the weights of the classes or action units of a task; None where all weigh alike.

    `values_NK`: labels of the training pictures.
    """
    kind = recipe.class_weights
    if kind == "none" or task.name == "va":
        return None
    if kind == "netease":
        return torch.tensor(EXPRESSION_WEIGHTS if task.name == "expr" else AU_WEIGHTS)
    if task.name == "expr":
        labels = values_NK[np.isfinite(values_NK[:, 0]), 0].astype(np.int64)
        counts_C = torch.from_numpy(np.bincount(labels, minlength=task.outputs)).float()
        return (normalized_inverse_shares if recipe.expression_loss == "focal" else largest_over_each)(counts_C)
    return largest_over_each(torch.from_numpy(np.nansum(values_NK, 0)).float())
