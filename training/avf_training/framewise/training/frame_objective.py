"""From the predictions of a batch to its loss, by task and protocol.

Shapes: B windows, S predictions of a window, O outputs, K label columns, N valid labels.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from avf_training.distributed.collectives import all_gather_features
from avf_training.framewise.labels.tasks import FrameLabelTask
from avf_training.framewise.losses import (
    AU_WEIGHTS,
    EXPRESSION_WEIGHTS,
    TWO_LABELS_FACTOR,
    largest_over_each,
    normalized_inverse_shares,
    soft_focal_loss,
    two_label_loss,
    valence_arousal_loss,
    weighted_action_unit_loss,
    weighted_expression_loss,
)
from avf_training.framewise.models.two_branches import draw_share
from avf_training.framewise.protocol import ProtocolOptions
from avf_training.framewise.training.batch_parts import seeds_of_parts
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
    loss_of: FrameLoss, recipe: FrameRecipe, task: FrameLabelTask
) -> Callable[[nn.Module, WindowBatch], tuple[Tensor, dict[str, Tensor]]]:
    """Return the forward pass of a training step."""

    def forward(model: nn.Module, batch: WindowBatch) -> tuple[Tensor, dict[str, Tensor]]:
        predicted_GSO = gather_predictions(model(batch.streams, batch.valid_BT, seeds=_seeds(recipe, batch)))
        return loss_of_frames(loss_of, predicted_GSO, batch.values_GSK), {}

    return forward


def gather_predictions(predicted_BSO: Tensor) -> Tensor:
    """Return the predictions for the windows of all processes, with gradients, (G, S, O). Collective."""
    return all_gather_features(predicted_BSO)[0] if dist.is_initialized() else predicted_BSO


def _seeds(recipe: FrameRecipe, batch: WindowBatch) -> list[int]:
    """Return the seed of each part. It depends on the step alone: a run that was killed goes on with the same bits."""
    return seeds_of_parts(recipe.seed * 1_000_003 + batch.number, batch.parts)


def two_branch_forward(
    loss_of: FrameLoss, recipe: FrameRecipe, task: FrameLabelTask
) -> Callable[[nn.Module, WindowBatch], tuple[Tensor, dict[str, Tensor]]]:
    """Return the forward pass of a training step of two branches, each with clips of its own."""
    factor = TWO_LABELS_FACTOR[task.name]

    def forward(model: nn.Module, batch: WindowBatch) -> tuple[Tensor, dict[str, Tensor]]:
        hard = batch.hard
        if hard is None:
            raise ValueError("a batch for two branches has clips for each")
        share = draw_share(np.random.default_rng((recipe.seed, batch.number)))
        hard_clips = hard.streams, hard.valid_BT
        predicted_GSO = gather_predictions(
            model(batch.streams, batch.valid_BT, hard_clips, share, seeds=_seeds(recipe, batch))
        )
        # A frame counts where neither clip is padded.
        padded_GS1 = (batch.padded_GS | hard.padded_GS)[..., None]
        truths = tuple(each.values_GSK.masked_fill(padded_GS1, torch.nan) for each in (batch, hard))
        loss = two_label_loss(
            lambda truth_GSK: loss_of_frames(loss_of, predicted_GSO, truth_GSK), (truths[0], truths[1]), share, factor
        )
        return loss, {}

    return forward


def loss_of_frames(loss_of: FrameLoss, predicted_BSO: Tensor, values_BSK: Tensor) -> Tensor:
    """Return the loss over the frames of a batch that have labels; 0 where none has."""
    counts_BS = torch.isfinite(values_BSK)
    # An action unit that a corpus does not code leaves the others of its frame.
    used_BS = counts_BS.any(-1) if values_BSK.shape[-1] > 2 else counts_BS.all(-1)
    if not used_BS.any():
        return predicted_BSO.sum() * 0
    return loss_of(predicted_BSO[used_BS].float(), values_BSK[used_BS])


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
