"""Losses of fine-tuning: cross-entropy with soft targets for classes, MSE, L1 or CCC for dimensions.

Shapes: B clips, R rows (B clips and those that are only mixed in), J outputs, D dimensions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from avf_training.config.finetune import FinetuneRecipe
from avf_training.data.finetuning_sampler import FinetuningBatch, finetuning_targets
from avf_training.data.forged_windows import ForgedWindows
from avf_training.models.classifier import OutputSpec, scale_outputs
from avf_training.tasks.class_imbalance import ImbalanceConfig, class_weights, epoch_counts, log_priors
from avf_training.tasks.task import Task


def output_spec(recipe: FinetuneRecipe, task: Task) -> OutputSpec:
    """Return names, kind and range of the outputs of a model of this task."""
    data = task.data
    within = data.range if recipe.activation == "range" and not task.is_classification else None
    return OutputSpec(
        names=data.labels or data.dimensions,
        is_classification=task.is_classification,
        value_range=within,
        pool=recipe.pool if data.task == "detection" and recipe.pool != "choose" else "mean",
    )


def task_loss(recipe: FinetuneRecipe, task: Task) -> Callable[[Tensor, FinetuningBatch], Tensor]:
    """Return the function from model outputs (B, J) and their batch to the loss.

    The loss is a mean over clips, so that it is the same however the batch is cut into micro-batches. Only the CCC is
    of the moments of a micro-batch, whose size a run of it keeps.
    """
    if task.is_classification:
        balance = ClassBalance.of(recipe.imbalance, class_counts(task))
        if (forged := forged_windows(recipe, task)) is not None:
            return partial(_detection_loss, forged=forged, recipe=recipe, balance=balance)

        def classification_loss(logits_BJ: Tensor, batch: FinetuningBatch) -> Tensor:
            labels_R = torch.tensor([task.truth[record.key] for record in batch.records], device=logits_BJ.device)
            targets_BJ = finetuning_targets(batch, labels_R, task.outputs, recipe.smoothing)
            return class_loss(logits_BJ, targets_BJ, balance)

        return classification_loss
    within, kind = output_spec(recipe, task).value_range, recipe.regression

    def regression_loss(outputs_BD: Tensor, batch: FinetuningBatch) -> Tensor:
        truth = [task.truth[key] for key in batch.keys]
        truth_BD = torch.tensor(truth, dtype=torch.float32, device=outputs_BD.device)
        predicted_BD = scale_outputs(outputs_BD, within)
        if kind == "ccc":
            return (1 - batch_ccc(predicted_BD, truth_BD)).mean()
        return (F.mse_loss if kind == "mse" else F.l1_loss)(predicted_BD, truth_BD)

    return regression_loss


def forged_windows(recipe: FinetuneRecipe, task: Task) -> ForgedWindows | None:
    """Return how windows of fakes are drawn and what is true of them; None for a task that is not detection."""
    if task.data.task != "detection":
        return None
    return ForgedWindows(modalities=recipe.modalities, share=recipe.forged_share)


def _detection_loss(
    logits_BJ: Tensor, batch: FinetuningBatch, *, forged: ForgedWindows, recipe: FinetuneRecipe, balance: "ClassBalance"
) -> Tensor:
    """Return the loss by the truth of each window, not of its file; windows without a truth count for nothing."""
    frames = recipe.model_config().geometry.frames
    truths = [
        forged.truth(record, params.start_frame, frames)
        for record, params in zip(batch.records, batch.params, strict=True)
    ]
    labels_R = torch.tensor([label for label, _ in truths], device=logits_BJ.device)
    weight_R = torch.tensor([weight for _, weight in truths], device=logits_BJ.device)
    targets_BJ = finetuning_targets(batch, labels_R, logits_BJ.shape[1], recipe.smoothing)
    return class_loss(logits_BJ, targets_BJ, balance, weight_R[batch.own_B])


@dataclass(frozen=True, kw_only=True)
class ClassBalance:
    """What the loss of a task of classes needs against their imbalance."""

    weights_J: Tensor | None = None  # of each class; None: all 1
    added_J: Tensor | None = None  # added to the logits in training; None: nothing
    focal: float = 0.0  # gamma of the focal loss

    @classmethod
    def of(cls, config: ImbalanceConfig, counts: list[int]) -> "ClassBalance":
        """Return what settings mean for so many training clips of each class."""
        sampled = epoch_counts(counts, config.sampling)
        weights_J = None if config.weights == "none" else torch.tensor(class_weights(sampled, config.weights)).float()
        tau = config.logit_adjustment
        added_J = torch.tensor(tau * log_priors(sampled)).float() if tau else None
        return cls(weights_J=weights_J, added_J=added_J, focal=config.focal)


def class_counts(task: Task) -> list[int]:
    """Return the training clips of each class."""
    truth = [task.truth[key] for key in task.train]
    return [truth.count(number) for number in range(task.outputs)]


def class_loss(
    logits_BJ: Tensor, targets_BJ: Tensor, balance: ClassBalance, clip_weights_B: Tensor | None = None
) -> Tensor:
    """Return the mean over clips of sum_j w_j t_j (1 - p_j)^gamma (-log p_j), p = softmax(logits + adjustment).

    Without weights, adjustment and gamma this is the cross-entropy with soft targets. Clips may have weights of their
    own, which do not change by what the sum is divided.
    """
    if balance.added_J is not None:
        logits_BJ = logits_BJ + balance.added_J.to(logits_BJ.device)
    log_p_BJ = logits_BJ.log_softmax(-1)
    terms_BJ = targets_BJ * log_p_BJ
    if balance.weights_J is not None:
        terms_BJ = terms_BJ * balance.weights_J.to(logits_BJ.device)
    if balance.focal:
        # -expm1(log p) is 1 - p without cancellation. The floor keeps the gradient of a power below 1 finite at p = 1.
        terms_BJ = terms_BJ * (-torch.expm1(log_p_BJ)).clamp(min=1e-6) ** balance.focal
    terms_B = terms_BJ.sum(-1)
    return -(terms_B if clip_weights_B is None else terms_B * clip_weights_B).mean()


def batch_ccc(predicted_BD: Tensor, truth_BD: Tensor) -> Tensor:
    """Return Lin's concordance of each dimension over the batch, (D,), with biased moments (as in HiCMAE's loss)."""
    mean_t, mean_p = truth_BD.mean(0), predicted_BD.mean(0)
    covariance = ((truth_BD - mean_t) * (predicted_BD - mean_p)).mean(0)
    variances = truth_BD.var(0, unbiased=False) + predicted_BD.var(0, unbiased=False)
    # The small constant: in a batch of equal targets and equal predictions all moments are 0.
    return 2 * covariance / (variances + (mean_t - mean_p) ** 2 + 1e-8)
