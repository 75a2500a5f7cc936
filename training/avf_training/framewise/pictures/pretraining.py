"""Image MAE: masked autoencoding of a stream of face pictures, from a recipe to a model (P2 3.1; MAE).

The run is that of audio-visual pre-training: the same folder, checkpoints, loop and curve. A run that was killed
resumes from its newest checkpoint with the same call.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from avf_shards.errors import FaultError
from avf_shards.sampling.stream_order import EpochwiseOrder
from torch import Tensor, nn

from avf_training.config.hints import log_hints
from avf_training.data.storage import StorageConfig
from avf_training.distributed.collectives import decide_on_rank_0, process_group
from avf_training.distributed.context import DistributedContext
from avf_training.distributed.parallelize import shard_blocks, wrap_ddp
from avf_training.framewise.models.image_files import save_image_model
from avf_training.framewise.models.image_mae import ImageMAE
from avf_training.framewise.pictures.pretrain_recipe import FREE, ImagePretrainRecipe
from avf_training.framewise.pictures.pretraining_step import make_picture_loader, masked_forward
from avf_training.framewise.pictures.reconstruction import ValidationPictures, make_picture_callback
from avf_training.framewise.pictures.shards import PictureShards
from avf_training.framewise.pictures.unseen_people import refuse_seen_people
from avf_training.models.cost_counter import count_forward
from avf_training.models.flops import NO_PEAK, peak_flops
from avf_training.models.precision import set_numerics
from avf_training.pretraining.learned_list import list_stream_clips
from avf_training.tasks.learned_clips import LEARNED, copy_list
from avf_training.trainer.checkpoint import Checkpoints
from avf_training.trainer.learning_curve import draw_learning_curve
from avf_training.trainer.progress import StepCost
from avf_training.trainer.run_folder import exclusive_lock, freeze_identity
from avf_training.trainer.stream_run import StreamRun, make_step, run_lengths, save_last_model
from avf_training.trainer.trainer import Trainer

STAGE = "pretrain-images"  # in run.json, and the command that made the run


@dataclass(frozen=True, kw_only=True)
class ImagePretrainingData:
    """The shards of a run."""

    shards: Sequence[Path | str]  # folders or addresses of picture shards
    validation: Path | str | None = None  # shards of people the model never trains on; None: no validation scores
    storage: StorageConfig = field(default_factory=StorageConfig)  # how shards at an address are read and cached


def run_image_pretraining(
    recipe: ImagePretrainRecipe,
    data: ImagePretrainingData,
    out: Path,
    *,
    device: str = "cpu",
    from_step: int | None = None,
) -> int:
    """Train to the recipe's last step, from the newest checkpoint in `out` or from the start; return the step reached.

    SIGTERM and SIGUSR1 save a checkpoint and end the run early. Raises UserError, FaultError.
    """
    with process_group(device) as context, ExitStack() as until_done:
        set_numerics(recipe.threads, recipe.precision)
        recipe.accumulation(context.size)  # refuses a world that does not fit, before anything is read
        shards = PictureShards(data.shards, data.storage)
        validation = _read_validation(data, shards)
        loader = make_picture_loader(recipe, shards, context, out)
        pictures = len(loader.stream.order)
        steps, warmup = run_lengths(recipe, pictures, "picture")
        if context.rank == 0:
            kind = context.device.type
            log_hints(recipe, clips=pictures, steps=steps, warmup_steps=warmup, device_type=kind, noun="picture")
        lock = until_done.enter_context(exclusive_lock(out, context.rank))
        # The stream's digest is part of the identity: the same recipe over other shards is another run.
        identity = {"stage": STAGE, "recipe": recipe.frozen(), "stream": loader.stream.order.digest}
        freeze_identity(out, identity, context.rank, FREE)
        if context.rank == 0:
            _list_learned(data, shards, loader.stream.order, out)
        model = make_image_mae(recipe, context)
        wrapped = _wrap(recipe, model, context)
        trainer = Trainer(
            model=wrapped,
            train_step=make_step(model, wrapped, masked_forward(recipe), recipe, lengths=(steps, warmup)),
            loader=loader,
            checkpoints=Checkpoints(out, recipe.checkpoint_keep, context.rank, lock),
            context=context,
        )
        evaluate = make_picture_callback(
            model,
            recipe.mask_ratio,
            _validation_pictures(recipe, shards, validation, context),
            scored=validation is not None,
            out=out,
            draws=context.rank == 0,
        )
        cost = _step_cost(recipe, context)
        reached = StreamRun(
            recipe=recipe,
            trainer=trainer,
            steps=steps,
            checkpoint_every=recipe.checkpoint_every,
            eval_every=recipe.eval_every,
            cost=cost,
            title=cost.describe(f"image MAE {recipe.model}") if context.rank == 0 else "",
            evaluate=evaluate,
            diverged=partial(_describe_divergence, recipe.nonfinite_limit),
        ).train(from_step)
        if reached == steps:
            save_last_model(model, out, context, partial(_save_model, recipe))
        if context.rank == 0:
            draw_learning_curve(out)
        return reached


def _read_validation(data: ImagePretrainingData, train: PictureShards) -> PictureShards | None:
    """Return the validation pictures. Collective; raises UserError where they are of what is trained on."""
    if data.validation is None:
        return None
    validation = PictureShards([data.validation], data.storage)
    decide_on_rank_0(partial(refuse_seen_people, train, validation))
    return validation


def _list_learned(data: ImagePretrainingData, shards: PictureShards, order: EpochwiseOrder, out: Path) -> None:
    """Write RUN/learned.parquet at the first start."""
    if not (out / LEARNED).is_file():
        threads = max(1, *(data.storage.read_ahead_threads(folder) for folder in data.shards))
        list_stream_clips(order, shards, threads).write(out)


def make_image_mae(recipe: ImagePretrainRecipe, context: DistributedContext) -> ImageMAE:
    """Return the model before the first step: the recipe's seed draws the same weights on every rank."""
    torch.manual_seed(recipe.seed)
    model = ImageMAE(recipe.model_config()).to(context.device).train()
    model.checkpointing = recipe.activation_checkpointing
    if recipe.compile:
        model.compile()  # in place: the names of parameters stay those of checkpoints
    return model


def _wrap(recipe: ImagePretrainRecipe, model: ImageMAE, context: DistributedContext) -> nn.Module:
    if recipe.parallel == "ddp":
        return wrap_ddp(model, context)
    return shard_blocks(model, [*model.blocks, *model.decoder_blocks], context)


def _describe_divergence(limit: int, step: int, micro_batches: object) -> FaultError:
    return FaultError(
        f"step {step}: {limit} steps in a row gave a loss or gradient that is not finite; take a lower "
        "optim.base_lr, or precision.compute bf16 or fp32, and go on with --from-step from an earlier checkpoint"
    )


def _save_model(recipe: ImagePretrainRecipe, folder: Path, tensors: Mapping[str, Tensor]) -> None:
    settings = {"mask_ratio": recipe.mask_ratio, "norm_pix": recipe.options().mae_norm_pix}
    save_image_model(folder, "image_mae", recipe.model_config(), tensors, **settings)
    copy_list(folder.parent, folder)


def _step_cost(recipe: ImagePretrainRecipe, context: DistributedContext) -> StepCost:
    if context.rank:
        return StepCost(clips=recipe.batch, flops=0.0, peak=NO_PEAK, devices=context.size, noun="picture")
    size = recipe.model_config()
    shape = (3, size.size_px, size.size_px)
    forward = count_forward(lambda: ImageMAE(size), (shape,), (), 2, recipe.precision)
    return StepCost(
        clips=recipe.batch,
        flops=3 * 2 * forward.gmacs * 1e9 * recipe.batch,
        peak=peak_flops(context.device, recipe.precision),
        devices=context.size,
        noun="picture",
    )


def _validation_pictures(
    recipe: ImagePretrainRecipe, train: PictureShards, validation: PictureShards | None, context: DistributedContext
) -> ValidationPictures | None:
    """Return the pictures that this rank evaluates, or None where it does not.

    With DDP rank 0 has the whole model and evaluates alone; with FSDP2 every rank must run the forward pass.
    """
    if not recipe.eval_every or (context.rank and recipe.parallel != "fsdp"):
        return None
    norm_pix = recipe.options().mae_norm_pix == "on"
    return ValidationPictures(
        recipe.model_config(), norm_pix=norm_pix, train=train, validation=validation, device=context.device
    )
