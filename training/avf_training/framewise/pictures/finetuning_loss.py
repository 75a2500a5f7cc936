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
    valence_arousal_loss,
    weighted_expression_loss,
)
from avf_training.framewise.pictures.finetune_recipe import PictureWeights
from avf_training.framewise.pictures.labelled import Values
from avf_training.framewise.protocol import ProtocolOptions

PictureLoss = Callable[[Tensor, Tensor], Tensor]
"""From predictions (B, O) and labels (B, K), nan where not valid, to the loss of a batch."""


def make_picture_loss(task: FrameLabelTask, weights_C: Tensor | None, options: ProtocolOptions) -> PictureLoss:
    """Return the loss of a task; a batch without a valid label has the loss 0.

    Args:
        task: that is learned.
        weights_C: of the classes or action units; None: 1.
        options: whether predictions are clamped, and what an expression loss is divided by.
    """

    def of_dimensions(predicted_B2: Tensor, values_B2: Tensor) -> Tensor:
        valid_B = values_B2.isfinite().all(1)
        if int(valid_B.sum()) < 2:  # two pictures are the fewest that have a concordance
            return predicted_B2.sum() * 0
        clamp = options.clamp_in_loss == "yes"
        return valence_arousal_loss(predicted_B2[valid_B], values_B2[valid_B], clamp=clamp)

    def of_classes(logits_BC: Tensor, values_B1: Tensor) -> Tensor:
        valid_B = values_B1.isfinite().all(1)
        if not valid_B.any():
            return logits_BC.sum() * 0
        weights = logits_BC.new_ones(logits_BC.shape[1]) if weights_C is None else weights_C.to(logits_BC)
        divide_by = options.expression_loss_divides_by
        return weighted_expression_loss(logits_BC[valid_B], values_B1[valid_B, 0].long(), weights, divide_by=divide_by)

    def of_units(logits_BA: Tensor, values_BA: Tensor) -> Tensor:
        valid_BA = values_BA.isfinite()
        weights = logits_BA.new_ones(logits_BA.shape[1]) if weights_C is None else weights_C.to(logits_BA)
        truth_BA = torch.where(valid_BA, values_BA, 0.0)
        loss_BA = F.binary_cross_entropy_with_logits(logits_BA, truth_BA, weight=weights, reduction="none")
        return (loss_BA * valid_BA).sum() / valid_BA.sum().clamp_min(1)  # the mean of those that are labelled

    return {"va": of_dimensions, "expr": of_classes, "au": of_units}[task.name]


def choose_weights(task: FrameLabelTask, kind: PictureWeights, values_NK: Values) -> Tensor | None:
    """Return the weights of the classes or action units of a task; None where all weigh alike.

    `values_NK`: labels of the training pictures.
    """
    if kind == "none" or task.name == "va":
        return None
    if kind == "netease":
        return torch.tensor(EXPRESSION_WEIGHTS if task.name == "expr" else AU_WEIGHTS)
    if task.name == "expr":
        labels = values_NK[np.isfinite(values_NK[:, 0]), 0].astype(np.int64)
        return largest_over_each(torch.from_numpy(np.bincount(labels, minlength=task.outputs)).float())
    return largest_over_each(torch.from_numpy(np.nansum(values_NK, 0)).float())
