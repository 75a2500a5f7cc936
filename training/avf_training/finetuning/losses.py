"""Losses of fine-tuning: cross-entropy with soft targets for classes, MSE, L1 or CCC for dimensions.

Shapes: B clips, R rows (B clips and those that are only mixed in), J outputs, D dimensions.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from avf_training.config.finetune import FinetuneRecipe
from avf_training.data.finetuning_sampler import FinetuningBatch, finetuning_targets
from avf_training.models.classifier import OutputSpec, scale_outputs
from avf_training.tasks.task import Task


def output_spec(recipe: FinetuneRecipe, task: Task) -> OutputSpec:
    """Return names, kind and range of the outputs of a model of this task."""
    data = task.data
    within = data.range if recipe.activation == "range" and not task.is_classification else None
    return OutputSpec(
        names=data.labels or data.dimensions, is_classification=task.is_classification, value_range=within
    )


def task_loss(recipe: FinetuneRecipe, task: Task) -> Callable[[Tensor, FinetuningBatch], Tensor]:
    """Return the function from model outputs (B, J) and their batch to the loss."""
    if task.is_classification:
        return lambda logits_BJ, batch: _cross_entropy(logits_BJ, batch, task, recipe.smoothing)
    within, kind = output_spec(recipe, task).value_range, recipe.regression

    def regression_loss(outputs_BD: Tensor, batch: FinetuningBatch) -> Tensor:
        truth = [task.truth[key] for key in batch.keys]
        truth_BD = torch.tensor(truth, dtype=torch.float32, device=outputs_BD.device)
        predicted_BD = scale_outputs(outputs_BD, within)
        if kind == "ccc":
            return (1 - batch_ccc(predicted_BD, truth_BD)).mean()
        return (F.mse_loss if kind == "mse" else F.l1_loss)(predicted_BD, truth_BD)

    return regression_loss


def _cross_entropy(logits_BJ: Tensor, batch: FinetuningBatch, task: Task, smoothing: float) -> Tensor:
    labels_R = torch.tensor([task.truth[record.key] for record in batch.records], device=logits_BJ.device)
    targets_BJ = finetuning_targets(batch, labels_R, task.outputs, smoothing)
    return -(targets_BJ * logits_BJ.log_softmax(-1)).sum(-1).mean()


def batch_ccc(predicted_BD: Tensor, truth_BD: Tensor) -> Tensor:
    """Return Lin's concordance of each dimension over the batch, (D,), with biased moments (as in HiCMAE's loss)."""
    mean_t, mean_p = truth_BD.mean(0), predicted_BD.mean(0)
    covariance = ((truth_BD - mean_t) * (predicted_BD - mean_p)).mean(0)
    variances = truth_BD.var(0, unbiased=False) + predicted_BD.var(0, unbiased=False)
    # The small constant: in a batch of equal targets and equal predictions all moments are 0.
    return 2 * covariance / (variances + (mean_t - mean_p) ** 2 + 1e-8)
