"""Pre-training: masked audio-visual autoencoding of a stream of clips, from a recipe to a model.

A run that was killed resumes from its newest checkpoint with the same call.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from avf_shards.errors import FaultError
from avf_shards.text import shell_word
from torch import Tensor, nn

from avf_training.config.hints import log_hints
from avf_training.config.micro_batch import fix_groups
from avf_training.config.pretrain import FREE, PretrainRecipe, refuse_idle_probe
from avf_training.data.pretraining_sampler import PretrainingBatch
from avf_training.data.storage import StorageConfig
from avf_training.distributed.collectives import decide_on_rank_0, process_group
from avf_training.distributed.context import DistributedContext
from avf_training.distributed.parallelize import parallelize_model
from avf_training.models.batch_norm import defer_running_statistics
from avf_training.models.flops import NO_PEAK, peak_flops, training_flops
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.precision import set_numerics
from avf_training.pretraining.learned_list import list_stream_clips
from avf_training.pretraining.replay import keep_for_replay
from avf_training.pretraining.step import make_loader, pretraining_forward
from avf_training.pretraining.validation import ValidationClips
from avf_training.pretraining.visual_callback import Probe, add_probe, make_eval_callback
from avf_training.tasks.learned_clips import LEARNED, copy_list
from avf_training.trainer.checkpoint import Checkpoints
from avf_training.trainer.learning_curve import draw_learning_curve
from avf_training.trainer.progress import StepCost
from avf_training.trainer.run_folder import exclusive_lock, freeze_identity
from avf_training.trainer.stream_run import StreamRun, make_step, run_lengths, save_last_model
from avf_training.trainer.train_step import TrainStep
from avf_training.trainer.trainer import Trainer


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
        recipe.accumulation(context.size)  # refuses a world that does not fit, before anything is read
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
            list_stream_clips(loader.stream.order, loader.stream.reader, threads).write(out)
        model, wrapped, train_step = make_train_step(recipe, context, steps, warmup)
        checkpoints = Checkpoints(out, recipe.checkpoint_keep, context.rank, lock)
        trainer = Trainer(model=wrapped, train_step=train_step, loader=loader, checkpoints=checkpoints, context=context)
        evaluate = make_eval_callback(
            model, recipe.masks, validation, scored=data.validation is not None, out=out, draws=context.rank == 0
        )
        if data.probe is not None:
            evaluate = add_probe(evaluate, data.probe, model, context.rank)

        def diverged(step: int, micro_batches: Sequence[PretrainingBatch]) -> FaultError:
            keep_for_replay(out, step, batches=micro_batches, model=model, scaler=train_step.scaler, context=context)
            return FaultError(
                f"step {step}: {recipe.nonfinite_limit} steps in a row gave a loss or gradient that is not finite; "
                f"`avf-train replay {shell_word(out)} --shards SHARDS` finds the module and the clips"
            )

        cost = _step_cost(recipe, context)
        run = StreamRun(
            recipe=recipe,
            trainer=trainer,
            steps=steps,
            checkpoint_every=recipe.checkpoint_every,
            eval_every=recipe.eval_every,
            cost=cost,
            title=cost.describe(recipe.model) if context.rank == 0 else "",
            evaluate=evaluate,
            diverged=diverged,
        )
        reached = run.train(from_step)
        if reached == steps:
            save_last_model(model, out, context, partial(_save_model, model))
        if context.rank == 0:
            draw_learning_curve(out)
        return reached


def _save_model(model: MaskedAutoencoder, folder: Path, tensors: Mapping[str, Tensor]) -> None:
    model.save_pretrained(folder, tensors)
    copy_list(folder.parent, folder)


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
    return model, wrapped, make_step(model, wrapped, pretraining_forward(recipe), recipe, lengths=(steps, warmup))


def _step_cost(recipe: PretrainRecipe, context: DistributedContext) -> StepCost:
    is_main = context.rank == 0
    return StepCost(
        clips=recipe.batch,
        flops=training_flops(recipe.model_config()) * recipe.batch if is_main else 0.0,
        peak=peak_flops(context.device, recipe.precision, recipe.model_config()) if is_main else NO_PEAK,
        devices=context.size,
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
