"""A training step of the trainer on a batch that stays on the device; the precision and the batch can be changed."""

from dataclasses import replace

import torch
from avf_training.config.pretrain import PretrainRecipe
from avf_training.data.pretraining_sampler import PretrainingBatch
from avf_training.distributed.context import DistributedContext
from avf_training.models.config import Precision
from avf_training.models.flops import training_flops
from avf_training.models.precision import set_numerics
from avf_training.pretraining.pretrain import make_train_step
from avf_training.pretraining.step import pretraining_forward
from avf_training.trainer.train_step import StepResult

from benchmarks.gpu.inputs import random_batch


class TrainingStep:
    """The model and optimizer of a recipe, and one batch."""

    def __init__(self, recipe: PretrainRecipe, context: DistributedContext, stored_px: int) -> None:
        self.recipe, self.context, self.stored_px = recipe, context, stored_px
        # One model serves all precisions: drawing the weights of a large one takes longer than timing it.
        self.model, _, self.train_step = make_train_step(recipe, context, 10_000, 10)
        self.flops_per_clip = training_flops(recipe.model_config())
        self.batch: PretrainingBatch | None = None

    def set_batch(self, clips: int) -> None:
        """Make a random batch of so many clips."""
        self.batch = None  # its memory is free before the next is made
        self.batch = random_batch(self.recipe, clips, self.stored_px, self.context.device.type)

    def set_precision(self, precision: Precision) -> None:
        """Compute in `precision` from now on."""
        set_numerics(None, precision)
        self.recipe = replace(self.recipe, precision=precision)
        self.model.fp32_decoder = precision.fp32_decoder
        self.train_step.forward = pretraining_forward(self.recipe)
        self.train_step.scaler = torch.amp.GradScaler(self.context.device.type, enabled=precision.compute == "fp16")

    def run(self) -> StepResult:
        """Run one step: model input, forward and backward pass, clipping, new weights."""
        assert self.batch is not None
        return self.train_step.run(20, [self.batch])
