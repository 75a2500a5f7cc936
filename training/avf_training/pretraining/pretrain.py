"""Pre-training: masked audio-visual autoencoding of a stream of clips, from a recipe to a model.

A run that was killed resumes from its newest checkpoint with the same call.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from avf_shards.errors import FaultError, UserError
from avf_shards.sampling.stream_order import EpochwiseOrder
from avf_shards.text import count_noun, shell_word
from torch import nn

from avf_training.config.hints import log_hints
from avf_training.config.micro_batch import fix_groups
from avf_training.config.pretrain import FREE, PretrainRecipe, refuse_idle_probe
from avf_training.data.pretraining_sampler import PretrainingBatch
from avf_training.data.storage import StorageConfig
from avf_training.data.stream import ClipSource
from avf_training.distributed.collectives import decide_on_rank_0, process_group
from avf_training.distributed.context import DistributedContext
from avf_training.distributed.parallelize import full_state_dict, parallelize_model
from avf_training.models.batch_norm import defer_running_statistics
from avf_training.models.flops import NO_PEAK, peak_flops, training_flops
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.precision import set_numerics
from avf_training.pretraining.replay import keep_for_replay
from avf_training.pretraining.step import make_loader, pretraining_forward
from avf_training.pretraining.validation import ValidationClips
from avf_training.pretraining.visual_callback import Probe, add_probe, make_eval_callback
from avf_training.tasks.learned_clips import LEARNED, LearnedClips, copy_list
from avf_training.trainer.checkpoint import Checkpoints
from avf_training.trainer.learning_curve import draw_learning_curve
from avf_training.trainer.metrics_writer import MetricsWriter
from avf_training.trainer.optimizer import adamw, schedule
from avf_training.trainer.progress import EvalCallback, ProgressReporter, StepCost
from avf_training.trainer.run_folder import MODEL, exclusive_lock, freeze_identity
from avf_training.trainer.tensorboard import TensorBoardLogger
from avf_training.trainer.train_step import TrainStep
from avf_training.trainer.trainer import RunLengths, Trainer


@dataclass(frozen=True, kw_only=True)
class PretrainingData:
    """The shards of a run."""

    shards: Path | str  # a folder, or an address that fsspec reads
    validation: Path | str | None = None  # shards of people the model never trains on; None: no validation scores
    storage: StorageConfig = field(default_factory=StorageConfig)  # how shards at an address are read and cached
    probe: Probe | None = None  # scores the frozen features as training goes on; None: nothing does


def run_pretraining(
    recipe: PretrainRecipe, data: PretrainingData, out: Path, *, device: str = "cpu", from_step: int | None = None
) -> int:
    """Train to the recipe's last step, from the newest checkpoint in `out` or from the start; return the step reached.

    SIGTERM and SIGUSR1 save a checkpoint and end the run early. Raises UserError, FaultError.
    """
    with process_group(device) as context, ExitStack() as until_done:
        set_numerics(recipe.threads, recipe.precision)
        recipe, identity = decide_on_rank_0(partial(fix_groups, recipe, out, context.size))
        accumulation = recipe.accumulation(context.size)
        validation = _validation_clips(recipe, data, context)
        loader = make_loader(recipe, data.shards, data.storage, context, out)
        clips = len(loader.stream.order)
        steps, warmup = run_lengths(recipe, clips)
        if data.probe is not None:
            refuse_idle_probe(recipe.eval_every, steps)
        if context.rank == 0:
            log_hints(recipe, clips=clips, steps=steps, warmup_steps=warmup, device_type=context.device.type)
        lock = until_done.enter_context(exclusive_lock(out, context.rank))
        # The stream's digest is part of the identity: the same recipe over other shards is another run.
        freeze_identity(out, identity | {"stream": loader.stream.order.digest}, context.rank, FREE)
        if context.rank == 0 and not (out / LEARNED).is_file():
            threads = max(1, data.storage.read_ahead_threads(data.shards))
            _list_clips(loader.stream.order, loader.stream.reader, threads).write(out)
        model, wrapped, train_step = make_train_step(recipe, context, steps, warmup)
        checkpoints = Checkpoints(out, recipe.checkpoint_keep, context.rank, lock)
        trainer = Trainer(model=wrapped, train_step=train_step, loader=loader, checkpoints=checkpoints, context=context)
        start = trainer.resume(from_step)
        evaluate = make_eval_callback(
            model, recipe.masks, validation, scored=data.validation is not None, out=out, draws=context.rank == 0
        )
        if data.probe is not None:
            evaluate = add_probe(evaluate, data.probe, model, context.rank)
        reporter = _make_reporter(recipe, evaluate, out, start=start, steps=steps, context=context)

        def diverged(step: int, micro_batches: Sequence[PretrainingBatch]) -> FaultError:
            keep_for_replay(out, step, batches=micro_batches, model=model, scaler=train_step.scaler, context=context)
            return FaultError(
                f"step {step}: {recipe.nonfinite_limit} steps in a row gave a loss or gradient that is not finite; "
                f"`avf-train replay {shell_word(out)} --shards SHARDS` finds the module and the clips"
            )

        lengths = RunLengths(
            steps=steps,
            accumulation=accumulation,
            checkpoint_every=recipe.checkpoint_every,
            nonfinite_limit=recipe.nonfinite_limit,
        )
        try:  # the event files must be closed when the run diverges or is interrupted, too
            reached = trainer.train(start, lengths, reporter, diverged)
        finally:
            reporter.close()
        if reached == steps and not decide_on_rank_0((out / MODEL).exists):
            tensors = full_state_dict(model)  # collective: with FSDP2 every rank holds a part of each tensor
            if context.rank == 0:
                model.save_pretrained(out / MODEL, tensors)
                copy_list(out, out / MODEL)
        if context.rank == 0:
            draw_learning_curve(out)
        return reached


def run_lengths(recipe: PretrainRecipe, clips: int) -> tuple[int, int]:
    """Return (steps, warm-up steps) of a run over epochs of `clips`. Raises UserError for a run without a step."""
    # A fraction, not a whole number: the stream crosses epoch ends within a batch, so only the product is rounded.
    steps_per_epoch = clips / recipe.batch
    steps = recipe.steps if recipe.steps is not None else int(recipe.epochs * steps_per_epoch)
    if steps < 1:
        raise UserError(
            f"{recipe.epochs:g} epochs of {count_noun(clips, 'clip')} are less than one batch of {recipe.batch}; "
            "take more epochs or a smaller batch"
        )
    warmup = recipe.warmup_steps
    return steps, int(recipe.optim.warmup_epochs * steps_per_epoch) if warmup is None else warmup


def make_train_step(
    recipe: PretrainRecipe, context: DistributedContext, steps: int, warmup: int
) -> tuple[MaskedAutoencoder, nn.Module, TrainStep[PretrainingBatch]]:
    """Return the model, the model wrapped for all ranks, and its training step.

    The recipe's seed draws the weights, so that every rank and every start begins with the same ones.
    """
    torch.manual_seed(recipe.seed)
    model = MaskedAutoencoder(recipe.model_config(), recipe.precision.fp32_decoder).to(context.device).train()
    model.checkpoint_activations(recipe.activation_checkpointing)
    defer_running_statistics(model, recipe.batch_norm_clips or recipe.micro_batch)
    if recipe.compile:
        model.compile()  # in place: the names of parameters stay those of checkpoints
    wrapped = parallelize_model(model, recipe.parallel, context)
    # fp16 gradients underflow without a scaled loss; bf16 has the exponent range of fp32.
    scaler = torch.amp.GradScaler(context.device.type, enabled=recipe.precision.compute == "fp16")
    rates = schedule(recipe.optim, recipe.batch, steps, warmup)
    optimizer = adamw(model, recipe.optim)
    train_step = TrainStep(
        wrapped,
        optimizer,
        rates,
        pretraining_forward(recipe),
        clip_norm=recipe.optim.clip_norm,
        scaler=scaler,
    )
    return model, wrapped, train_step


def _list_clips(order: EpochwiseOrder, reader: ClipSource, threads: int) -> LearnedClips:
    """Return the list of all clips that the order may come to, by their keys alone."""

    def read_keys(shard: int) -> list[str]:
        first, stop = order.corpus.first_clip[shard : shard + 2].tolist()
        clips = np.arange(first, stop)
        try:
            taken = clips[order.takes(clips)].tolist()
            return [key for clip in taken if (key := reader.key(clip))]  # "" for a deleted clip
        except FaultError:  # an index that cannot be read; the loader reports it where it comes to the shard
            return []

    sources = zip(order.corpus.sources, order.quotas, strict=True)
    shards = [shard for source, quota in sources if quota for shard in source.shards.tolist()]
    with ThreadPoolExecutor(threads) as pool:
        keys = (key for of_shard in pool.map(read_keys, shards) for key in of_shard)
        return LearnedClips.from_keys(keys, labelled=False)


def _make_reporter(
    recipe: PretrainRecipe, evaluate: EvalCallback, out: Path, *, start: int, steps: int, context: DistributedContext
) -> ProgressReporter:
    """Return the progress reporter; it writes on rank 0 only, but every rank takes part in its evaluations."""
    is_main = context.rank == 0
    cost = StepCost(
        clips=recipe.batch,
        flops=training_flops(recipe.model_config()) * recipe.batch if is_main else 0.0,
        peak=peak_flops(context.device, recipe.precision, recipe.model_config()) if is_main else NO_PEAK,
        devices=context.size,
    )
    metrics = board = None
    if is_main:
        metrics = MetricsWriter(out, start, steps)
        metrics.begin(cost.describe(recipe.model))
        board = TensorBoardLogger(out, start, recipe.wandb, recipe.frozen())
    return ProgressReporter(
        metrics, board, cost, log_every=recipe.log_every, evaluate=evaluate, eval_every=recipe.eval_every
    )


def _validation_clips(
    recipe: PretrainRecipe, data: PretrainingData, context: DistributedContext
) -> ValidationClips | None:
    """Return the clips that this rank evaluates, or None where it does not.

    With DDP rank 0 has the whole model and evaluates alone; with FSDP2 every rank must run the forward pass.
    """
    evaluates = context.rank == 0 or recipe.parallel == "fsdp"
    if not evaluates or not (data.validation or recipe.eval_every):
        return None
    # Without validation shards one training clip is drawn and not scored: its score would say nothing about new people.
    train = data.shards if data.validation else None
    return ValidationClips(
        recipe.model_config(),
        recipe.masks,
        train=train,
        validation=data.validation or data.shards,
        storage=data.storage,
        device=context.device,
    )
