"""From the predictions of a batch to its loss, by task and protocol.

Shapes: B windows, S predictions of a window, O outputs, K label columns, N valid labels.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from avf_training.framewise.labels.tasks import FrameLabelTask
from avf_training.framewise.losses import (
    AU_WEIGHTS,
    EXPRESSION_WEIGHTS,
    largest_over_each,
    normalized_inverse_shares,
    soft_focal_loss,
    valence_arousal_loss,
    weighted_action_unit_loss,
    weighted_expression_loss,
)
from avf_training.framewise.protocol import ProtocolOptions
from avf_training.framewise.training.frame_recipe import FrameRecipe
from avf_training.framewise.training.window_loader import WindowBatch

FrameLoss = Callable[[Tensor, Tensor], Tensor]
"""Loss of (N, O) predictions for (N, K) labels, all valid but single action units."""


def make_frame_loss(
    task: FrameLabelTask, recipe: FrameRecipe, options: ProtocolOptions, counts: list[int]
) -> FrameLoss:
    """Return the loss of a task.

    Args:
        counts: valid training frames of each class, or with each action unit on.
    """
    if task.name == "va":
        clamp = options.clamp_in_loss == "yes"
        return lambda predicted_NO, truth_NK: valence_arousal_loss(predicted_NO, truth_NK, clamp=clamp)
    weights = _class_weights(task, recipe, torch.tensor(counts, dtype=torch.float32))
    if task.name == "au":
        return lambda logits_NO, truth_NK: _action_unit_loss(logits_NO, truth_NK, weights.to(logits_NO.device))
    return lambda logits_NO, truth_NK: _expression_loss(
        logits_NO, truth_NK[:, 0].long(), weights.to(logits_NO.device), recipe, options
    )


def frames_forward(
    loss_of: FrameLoss, recipe: FrameRecipe
) -> Callable[[nn.Module, WindowBatch], tuple[Tensor, dict[str, Tensor]]]:
    """Return the forward pass of a training step."""

    def forward(model: nn.Module, batch: WindowBatch) -> tuple[Tensor, dict[str, Tensor]]:
        # Dropout of a step depends on the step alone, so that a run that was killed goes on with the same bits.
        torch.manual_seed(recipe.seed * 1_000_003 + batch.number)
        predicted_BSO = model(batch.streams, batch.valid_BT)
        counts_BS = torch.isfinite(batch.values_BSK)
        # An action unit that a corpus does not code leaves the others of its frame.
        used_BS = counts_BS.any(-1) if batch.values_BSK.shape[-1] > 2 else counts_BS.all(-1)
        if not used_BS.any():
            return predicted_BSO.sum() * 0, {}
        return loss_of(predicted_BSO[used_BS].float(), batch.values_BSK[used_BS]), {}

    return forward


def _class_weights(task: FrameLabelTask, recipe: FrameRecipe, counts_C: Tensor) -> Tensor:
    if recipe.class_weights == "none":
        return torch.ones(task.outputs)
    if recipe.class_weights == "netease":
        return torch.tensor(AU_WEIGHTS if task.name == "au" else EXPRESSION_WEIGHTS)
    if recipe.expression_loss == "focal" and task.name == "expr":
        return normalized_inverse_shares(counts_C)
    return largest_over_each(counts_C)


def _expression_loss(
    logits_NO: Tensor, labels_N: Tensor, weights_O: Tensor, recipe: FrameRecipe, options: ProtocolOptions
) -> Tensor:
    if recipe.expression_loss == "focal":
        targets_NO = torch.nn.functional.one_hot(labels_N, logits_NO.shape[-1]).to(logits_NO.dtype)
        return soft_focal_loss(logits_NO, targets_NO, class_weights_C=weights_O)
    return weighted_expression_loss(logits_NO, labels_N, weights_O, divide_by=options.expression_loss_divides_by)


def _action_unit_loss(logits_NO: Tensor, truth_NO: Tensor, weights_O: Tensor) -> Tensor:
    coded_NO = torch.isfinite(truth_NO)
    weights_NO = weights_O * coded_NO
    loss = weighted_action_unit_loss(logits_NO, torch.nan_to_num(truth_NO), weights_NO)
    return loss * coded_NO.numel() / coded_NO.sum()
