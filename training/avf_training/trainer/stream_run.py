"""A run of the loop over an endless stream, from its newest checkpoint to its last step.

Audio-visual pre-training and the stages of single pictures give it what differs between them: model, stream, forward
pass and evaluation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from avf_shards.errors import FaultError, UserError
from avf_shards.text import count_noun
from torch import nn

from avf_training.data.batch import StreamBatch
from avf_training.distributed.collectives import decide_on_rank_0
from avf_training.distributed.context import DistributedContext
from avf_training.distributed.parallelize import full_state_dict
from avf_training.models.config import Precision
from avf_training.trainer.metrics_writer import MetricsWriter
from avf_training.trainer.optim_config import OptimConfig
from avf_training.trainer.optimizer import adamw, schedule
from avf_training.trainer.progress import EvalCallback, ProgressReporter, StepCost
from avf_training.trainer.run_folder import MODEL
from avf_training.trainer.tensorboard import TensorBoardLogger
from avf_training.trainer.train_step import Forward, TrainStep
from avf_training.trainer.trainer import RunLengths, Trainer

B = TypeVar("B", bound=StreamBatch)


class StreamRecipe(Protocol):
    """The settings of a recipe that the loop reads, whatever the stage."""

    @property
    def batch(self) -> int: ...
    @property
    def epochs(self) -> float: ...
    @property
    def steps(self) -> int | None: ...
    @property
    def warmup_steps(self) -> int | None: ...
    @property
    def optim(self) -> OptimConfig: ...
    @property
    def precision(self) -> Precision: ...
    @property
    def nonfinite_limit(self) -> int: ...
    @property
    def log_every(self) -> int: ...
    @property
    def wandb(self) -> str | None: ...

    def accumulation(self, world: int) -> int:
        """Return the micro-batches of a step of each rank. Raises UserError if they do not fill the batch."""

    def frozen(self) -> dict[str, Any]:
        """Return the settings that identify a run."""


def run_lengths(recipe: StreamRecipe, items: int, noun: str = "clip") -> tuple[int, int]:
    """Return (steps, warm-up steps) of a run over epochs of `items`. Raises UserError for a run without a step."""
    # A fraction, not a whole number: the stream crosses epoch ends within a batch, so only the product is rounded.
    steps_per_epoch = items / recipe.batch
    steps = recipe.steps if recipe.steps is not None else int(recipe.epochs * steps_per_epoch)
    if steps < 1:
        raise UserError(
            f"{recipe.epochs:g} epochs of {count_noun(items, noun)} are less than one batch of {recipe.batch}; "
            "take more epochs or a smaller batch"
        )
    warmup = recipe.warmup_steps
    return steps, int(recipe.optim.warmup_epochs * steps_per_epoch) if warmup is None else warmup


def make_step(
    model: nn.Module,
    wrapped: nn.Module,
    forward: Forward[B],
    recipe: StreamRecipe,
    *,
    lengths: tuple[int, int],
    scale: Callable[[str], float] = lambda name: 1.0,
) -> TrainStep[B]:
    """Return the training step of a model.

    Args:
        model: the model itself.
        wrapped: the model as all ranks train it.
        forward: from a batch to the loss.
        recipe: of the stage.
        lengths: steps, and those of them in which the learning rate rises.
        scale: factor on the learning rate of a parameter, by its name.
    """
    device = next(model.parameters()).device
    return TrainStep(
        wrapped,
        adamw(model, recipe.optim, scale),
        schedule(recipe.optim, recipe.batch, *lengths),
        forward,
        clip_norm=recipe.optim.clip_norm,
        # fp16 gradients underflow without a scaled loss; bf16 has the exponent range of fp32.
        scaler=torch.amp.GradScaler(device.type, enabled=recipe.precision.compute == "fp16"),
    )


@dataclass(frozen=True, kw_only=True)
class StreamRun(Generic[B]):
    """What a stage hands to the loop, ready to start."""

    recipe: StreamRecipe
    trainer: Trainer[B]
    steps: int  # of the whole run
    checkpoint_every: int  # steps between two checkpoints
    eval_every: int  # steps between two evaluations; 0: never
    cost: StepCost
    title: str  # first line of the run
    evaluate: EvalCallback
    diverged: Callable[[int, Sequence[B]], FaultError]  # the error after too many steps without a finite loss
    is_over: Callable[[int], bool] = lambda step: False  # whether the run ends early at a step; on every rank the same

    @property
    def out(self) -> Path:
        """Return the folder of the run."""
        return self.trainer.checkpoints.run

    def train(self, from_step: int | None) -> int:
        """Train from the newest checkpoint, or that of `from_step`; return the step reached. Collective.

        Raises UserError, FaultError.
        """
        start = self.trainer.resume(from_step)
        reporter = self._make_reporter(start)
        lengths = RunLengths(
            steps=self.steps,
            accumulation=self.recipe.accumulation(self.trainer.context.size),
            checkpoint_every=self.checkpoint_every,
            nonfinite_limit=self.recipe.nonfinite_limit,
            is_over=self.is_over,
        )
        try:  # the event files must be closed when the run diverges or is interrupted, too
            return self.trainer.train(start, lengths, reporter, self.diverged)
        finally:
            reporter.close()

    def _make_reporter(self, start: int) -> ProgressReporter:
        """Return the progress reporter; it writes on rank 0 only, but every rank takes part in its evaluations."""
        metrics = board = None
        if self.trainer.context.rank == 0:
            metrics = MetricsWriter(self.out, start, self.steps)
            metrics.begin(self.title)
            board = TensorBoardLogger(self.out, start, self.recipe.wandb, self.recipe.frozen())
        return ProgressReporter(
            metrics,
            board,
            self.cost,
            log_every=self.recipe.log_every,
            evaluate=self.evaluate,
            eval_every=self.eval_every,
        )


def save_last_model(
    model: nn.Module, out: Path, context: DistributedContext, save: Callable[[Path, dict[str, Any]], None]
) -> None:
    """Write RUN/model once, after the last step, by `save(folder, tensors)` on rank 0. Collective."""
    if not decide_on_rank_0((out / MODEL).exists):
        tensors = full_state_dict(model)  # collective: with FSDP2 every rank holds a part of each tensor
        if context.rank == 0:
            save(out / MODEL, tensors)
