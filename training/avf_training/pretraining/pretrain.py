"""Pre-training: masked audio-visual autoencoding of a stream of clips, from a recipe to a model, through any kill."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import torch
from avf_shards.errors import FaultError, UserError
from torch import nn

from avf_training.config.pretrain import PretrainRecipe
from avf_training.data.pretraining import PretrainingBatch
from avf_training.data.storage import StorageConfig
from avf_training.distributed.collectives import process_group
from avf_training.distributed.context import DistributedContext
from avf_training.distributed.parallelize import full_state_dict, parallelize
from avf_training.models.flops import NO_PEAK, peak_flops, training_flops
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.precision import set_numerics
from avf_training.pretraining.replay import keep_for_replay
from avf_training.pretraining.step import make_loader, pretraining_forward
from avf_training.pretraining.validation import ValidationClips
from avf_training.pretraining.visual_callback import make_eval_callback
from avf_training.trainer.checkpoint import Checkpoints
from avf_training.trainer.learning_curve import draw_learning_curve
from avf_training.trainer.loop import TrainStep
from avf_training.trainer.metrics import MetricsWriter
from avf_training.trainer.optimizer import adamw, schedule
from avf_training.trainer.progress import Look, ProgressReporter, StepCost
from avf_training.trainer.run_folder import MODEL, exclusive_lock, freeze_identity
from avf_training.trainer.tensorboard import TensorBoardLogger
from avf_training.trainer.trainer import RunLengths, Trainer


@dataclass(frozen=True, kw_only=True)
class PretrainingData:
    """The clips of a run, and where they are read."""

    shards: Path | str
    held_out: Path | str | None = None  # shards of people the model never sees, scored beside the pictures
    storage: StorageConfig = field(default_factory=StorageConfig)


def pretrain(
    recipe: PretrainRecipe, data: PretrainingData, out: Path, *, device: str = "cpu", from_step: int | None = None
) -> int:
    """Train to the recipe's last step, from the newest checkpoint in `out` or from the start; the step reached.

    SIGTERM and SIGUSR1 save and end it early. Raises UserError, FaultError.
    """
    with process_group(device) as place, ExitStack() as until_done:
        set_numerics(recipe.threads, recipe.precision)
        accumulation = recipe.accumulation(place.size)
        unseen = _unseen(recipe, data, place)
        loader = make_loader(recipe, data.shards, data.storage, place, out)
        steps, warmup = run_lengths(recipe, len(loader.stream.order))
        until_done.enter_context(exclusive_lock(out, place.rank))
        freeze_identity(out, {"recipe": recipe.frozen(), "stream": loader.stream.order.digest}, place.rank)
        model, wrapped, loop = make_train_step(recipe, place, steps, warmup)
        run = Trainer(
            model=wrapped,
            loop=loop,
            loader=loader,
            checkpoints=Checkpoints(out, recipe.checkpoint_keep, place.rank),
            place=place,
        )
        start = run.resume(from_step)
        look = make_eval_callback(
            model, recipe.masks, unseen, scored=data.held_out is not None, out=out, draws=place.rank == 0
        )
        watch = _reporter(recipe, look, out, start=start, steps=steps, place=place)

        def diverged(step: int, micro_batches: Sequence[PretrainingBatch]) -> FaultError:
            keep_for_replay(out, step, batches=micro_batches, model=model, scaler=loop.scaler, place=place)
            return FaultError(
                f"step {step}: {recipe.nonfinite_limit} steps in a row gave a loss or gradient that is not finite; "
                f"`avf-train replay {out} --shards SHARDS` takes the last batch apart"
            )

        lengths = RunLengths(
            steps=steps,
            accumulation=accumulation,
            checkpoint_every=recipe.checkpoint_every,
            nonfinite_limit=recipe.nonfinite_limit,
        )
        try:
            reached = run.train(start, lengths, watch, diverged)
        finally:
            watch.close()
        if reached == steps and not (out / MODEL).exists():
            tensors = full_state_dict(model)
            if place.rank == 0:
                model.save_pretrained(out / MODEL, tensors)
        if place.rank == 0:
            draw_learning_curve(out)
        return reached


def run_lengths(recipe: PretrainRecipe, clips: int) -> tuple[int, int]:
    """(steps, warm-up steps) of a run over epochs of `clips`. Raises UserError for a run without a step."""
    per_epoch = clips / recipe.batch
    steps = recipe.steps if recipe.steps is not None else int(recipe.epochs * per_epoch)
    if steps < 1:
        raise UserError(f"{recipe.epochs:g} epochs of {clips} clips are less than one batch of {recipe.batch}")
    warmup = recipe.warmup_steps
    return steps, int(recipe.optim.warmup_epochs * per_epoch) if warmup is None else warmup


def make_train_step(
    recipe: PretrainRecipe, place: DistributedContext, steps: int, warmup: int
) -> tuple[MaskedAutoencoder, nn.Module, TrainStep[PretrainingBatch]]:
    """The model, its weights drawn by the recipe's seed, the same spread over all processes, and its loop."""
    torch.manual_seed(recipe.seed)
    model = MaskedAutoencoder(recipe.model_config(), recipe.precision.fp32_decoder).to(place.device).train()
    model.checkpoint_activations(recipe.activation_checkpointing)
    if recipe.compile:
        model.compile()
    wrapped = parallelize(model, recipe.parallel, place)
    scaler = torch.amp.GradScaler(place.device.type, enabled=recipe.precision.compute == "fp16")
    rates = schedule(recipe.optim, recipe.batch, steps, warmup)
    optimiser = adamw(model, recipe.optim)
    return (
        model,
        wrapped,
        TrainStep(
            wrapped, optimiser, rates, pretraining_forward(recipe), clip_norm=recipe.optim.clip_norm, scaler=scaler
        ),
    )


def _reporter(
    recipe: PretrainRecipe, look: Look, out: Path, *, start: int, steps: int, place: DistributedContext
) -> ProgressReporter:
    """What is told; by rank 0 only, but all compute what they must for it."""
    first = place.rank == 0
    flops = training_flops(recipe.model_config()) * recipe.batch if first else 0.0
    work = StepCost(
        clips=recipe.batch,
        flops=flops,
        peak=peak_flops(place.device, recipe.precision) if first else NO_PEAK,
        devices=place.size,
    )
    metrics = board = None
    if first:
        metrics = MetricsWriter(out, start, steps)
        metrics.say(work.sentence(recipe.model))
        board = TensorBoardLogger(out, start, recipe.wandb, recipe.frozen())
    return ProgressReporter(
        metrics, board, work, log_every=recipe.log_every, look=look, look_every=recipe.picture_every
    )


def _unseen(recipe: PretrainRecipe, data: PretrainingData, place: DistributedContext) -> ValidationClips | None:
    looks = place.rank == 0 or recipe.parallel == "fsdp"
    if not looks or not (data.held_out or recipe.picture_every):
        return None
    train = data.shards if data.held_out else None  # without others to score, one of its own to look at
    return ValidationClips(
        recipe.model_config(),
        recipe.masks,
        train=train,
        unseen=data.held_out or data.shards,
        storage=data.storage,
        device=place.device,
    )
