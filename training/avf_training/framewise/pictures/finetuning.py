"""Fine-tuning of an image model to an extractor of features, by labels of one task (P2 3.1; MAE's recipe).

RUN/run.json, checkpoints/, metrics.jsonl, tensorboard/   as for every run (see trainer/run_folder.py)
RUN/validation.jsonl      scores of the validation pictures after each epoch
RUN/best/validation/      the model of the best epoch, which `avf-train extract` loads by the name of the run
RUN/model/                the model after the last step
RUN/trained_videos.json   the videos whose frames were trained on, where there are any; also beside each model
"""

import hashlib
import logging
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from avf_shards.errors import FaultError, UserError
from avf_shards.schema.clip_key import is_key
from avf_shards.text import count_noun
from torch import Tensor, nn

from avf_training.config.hints import log_hints
from avf_training.data.loader import StreamLoader
from avf_training.data.ordered_stream import StreamConfig
from avf_training.distributed.collectives import process_group
from avf_training.distributed.context import DistributedContext
from avf_training.finetuning.model_selection import BEST
from avf_training.framewise.labels.trained_videos import (
    TrainedVideos,
    copy_trained_videos,
    find_trained_videos,
    read_trained_videos,
    renew_record,
)
from avf_training.framewise.models.image_files import is_saved_model
from avf_training.framewise.pictures.finetune_recipe import FREE, ImageFinetuneRecipe
from avf_training.framewise.pictures.finetuning_loss import choose_weights, make_picture_loss
from avf_training.framewise.pictures.labelled import LabelledPictures
from avf_training.framewise.pictures.networks import PictureNetwork, make_network
from avf_training.framewise.pictures.selection import PROTOCOL, BestPictureModel
from avf_training.framewise.pictures.split import PictureSplit, split_pictures
from avf_training.framewise.pictures.stream import LabelledPictureBatch, LabellingSampler, PictureStream
from avf_training.framewise.tracks.extractor import digest_weights
from avf_training.framewise.tracks.identity import TRAINED_VIDEOS
from avf_training.models.cost_counter import count_forward
from avf_training.models.flops import NO_PEAK, peak_flops
from avf_training.models.precision import set_numerics
from avf_training.models.saved_config import WEIGHTS
from avf_training.tasks.learned_clips import LEARNED, LearnedClips, copy_list, read_learned
from avf_training.tasks.relations import ClipIdentity
from avf_training.tasks.sampling import TrainingOrder
from avf_training.trainer.checkpoint import Checkpoints
from avf_training.trainer.learning_curve import draw_learning_curve
from avf_training.trainer.progress import StepCost
from avf_training.trainer.run_folder import MODEL, RUN, exclusive_lock, freeze_identity
from avf_training.trainer.saved_model import start_model
from avf_training.trainer.stream_run import StreamRun, run_lengths
from avf_training.trainer.train_step import Forward
from avf_training.trainer.trainer import Trainer

log = logging.getLogger(__name__)
STAGE = "finetune-images"  # in run.json, and the command that made the run


def finetune_images(
    recipe: ImageFinetuneRecipe, pictures: LabelledPictures, start: Path | None, out: Path, *, device: str = "cpu"
) -> int:
    """Train to the recipe's last step, keep the best model by the validation pictures, and return the step reached.

    A run ends before where the scores of validation have stopped to rise (`patience`). Training continues from the
    newest checkpoint in `out`. Raises UserError, FaultError.

    Args:
        recipe: settings.
        pictures: that have labels of the task.
        start: a run or model of `avf-train pretrain-images` or `finetune-images`, a checkpoint of MAE, or weights of
            the recipe's static network or of its backbone; None: that network starts from weights that the seed draws.
        out: folder of the run.
        device: cpu or cuda.
    """
    start = start_model(start) if start is not None and (start / RUN).is_file() else start
    network = make_network(recipe, pictures.task, start)
    split = split_pictures(pictures, recipe.validation_share)
    learned, trained = _list_learned(pictures, split, start), _list_trained(pictures, split, start)
    with process_group(device) as context, ExitStack() as until_done:
        set_numerics(recipe.threads, recipe.precision)
        recipe.accumulation(context.size)  # refuses a world that does not fit, before a folder is made
        network.module.to(context.device).train()
        loader = _make_loader(recipe, pictures, split, network, context=context, out=out)
        steps, warmup = run_lengths(recipe, len(split.train), "picture")
        steps_per_epoch = max(1, len(split.train) // recipe.batch)
        every = steps_per_epoch * recipe.evaluate_every
        if context.rank == 0:
            _warn_of_random_weights(network, start)
            clips = len(split.train)
            log_hints(recipe, clips=clips, steps=steps, warmup_steps=warmup, device_type=device, noun="picture")
        identity = _identify(recipe, pictures, split, start) | network.describe()
        lock = until_done.enter_context(exclusive_lock(out, context.rank))
        identity["stream"] = loader.stream.order.digest
        freeze_identity(out, identity, context.rank, FREE)
        if context.rank == 0:
            _write_lists(out, learned, trained)
        forward = _make_forward(recipe, pictures, split, network)
        step = network.make_step(context, forward, lengths=(steps, warmup), steps_per_epoch=steps_per_epoch)
        trainer = Trainer(
            model=step.model,
            train_step=step,
            loader=loader,
            checkpoints=Checkpoints(out, recipe.checkpoint_keep, context.rank, lock),
            context=context,
        )
        best = BestPictureModel(
            network=network,
            pictures=pictures,
            rows=split.validation,
            precision=recipe.precision,
            every=every,
            epochs=recipe.evaluate_every,
            patience=recipe.patience,
            out=out,
            context=context,
        )
        reached = StreamRun(
            recipe=recipe,
            trainer=trainer,
            steps=steps,
            checkpoint_every=every,
            eval_every=min(every, steps),
            cost=_step_cost(recipe, network, context),
            title=_describe(pictures, split, steps, every),
            evaluate=best.after_epoch,
            diverged=partial(_describe_divergence, recipe.nonfinite_limit),
            is_over=best.is_over,
        ).train(None)
        if (reached == steps or best.is_over(reached)) and context.rank == 0:
            _save_last(network, out)
        return reached


def _make_loader(
    recipe: ImageFinetuneRecipe,
    pictures: LabelledPictures,
    split: PictureSplit,
    network: PictureNetwork,
    *,
    context: DistributedContext,
    out: Path,
) -> StreamLoader[LabelledPictureBatch]:
    """Return the loader of this rank's micro-batches of training pictures."""
    config = StreamConfig(
        shards=".",
        batch=recipe.micro_batch * context.size,
        seed=recipe.seed,
        max_fault_share=recipe.max_fault_share,
    )
    order = TrainingOrder(pictures.corpus, [pictures.pictures[row].number for row in split.train], recipe.seed)
    sampler = LabellingSampler(size_px=network.size_px, augment=network.augment)
    stream = PictureStream(config, sampler, (order, pictures), context.size, context.rank)
    return StreamLoader(
        stream,
        workers=recipe.workers,
        device=context.device,
        quarantine=out / "quarantine.jsonl",
        delivery_log=out / "delivery.jsonl",
    )


def _make_forward(
    recipe: ImageFinetuneRecipe, pictures: LabelledPictures, split: PictureSplit, network: PictureNetwork
) -> Forward[LabelledPictureBatch]:
    weights = choose_weights(pictures.task, recipe, pictures.values_NK[list(split.train)])
    loss_of = make_picture_loss(pictures.task, weights, recipe)

    def forward(model: nn.Module, batch: LabelledPictureBatch) -> tuple[Tensor, dict[str, Tensor]]:
        pictures_B3PP = batch.normalized()
        network.seed_step(batch)
        with recipe.precision.autocast(pictures_B3PP.device.type):
            predicted_BO = model(pictures_B3PP)
        return loss_of(predicted_BO.float(), batch.values_BK), {}

    return forward


def _identify(
    recipe: ImageFinetuneRecipe, pictures: LabelledPictures, split: PictureSplit, start: Path | None
) -> dict[str, Any]:
    """Return what makes this run another than others, besides the order of its pictures."""
    scored = "\n".join(pictures.pictures[row].key for row in split.validation)
    labels = pictures.values_NK[[*split.train, *split.validation]].tobytes()
    return {
        "stage": STAGE,
        "recipe": recipe.frozen(),
        "task": pictures.task.name,
        "start": None if start is None else digest_weights(start / WEIGHTS if is_saved_model(start) else start),
        "validation": hashlib.sha256(scored.encode()).hexdigest(),
        "labels": hashlib.sha256(labels).hexdigest(),
    }


def _warn_of_random_weights(network: PictureNetwork, start: Path | None) -> None:
    """Where no start is named, log that the network starts from random weights, and how many of its layers stay so."""
    if start is not None:
        return
    layers = network.describe().get("layers", ())
    frozen = sum(layer["rate"] is None for layer in layers)
    log.warning(
        "no --model is named, so the network starts from random weights, and %d of its %d layers never learn; name "
        "weights of its backbone (docs/howto/image-models.md)",
        *(frozen, len(layers)),
    )


def _list_learned(pictures: LabelledPictures, split: PictureSplit, start: Path | None) -> LearnedClips:
    """Return what the model will have learned from, the stages before included.

    Raises UserError where a stage before has learned with labels from pictures that are scored here.
    """
    inherited = LearnedClips()
    if start is not None and (start / LEARNED).is_file():
        inherited = read_learned(start / LEARNED)
    scored = _learned_from(pictures, split.validation)
    if scored.labelled & inherited.labelled:
        raise UserError(
            f"{start}: has learned from labels of pictures that are to be scored here, so its scores would say nothing "
            "about new people; start from its pre-trained model, or score other pictures"
        )
    return inherited | scored | _learned_from(pictures, split.train)


def _list_trained(pictures: LabelledPictures, split: PictureSplit, start: Path | None) -> TrainedVideos:
    """Return the videos whose frames are trained on, here or in a stage before; those that are scored are not among
    them.
    """
    before = None if start is None else find_trained_videos(start)
    own = TrainedVideos(train_on="train").add({each for row in split.train if (each := pictures.pictures[row].video)})
    return own if before is None else own.add(before.videos)


def _write_lists(out: Path, learned: LearnedClips, trained: TrainedVideos) -> None:
    """Write what the model learns from; of a run that has begun before, nothing that its lists name is lost."""
    if (out / LEARNED).is_file():
        learned |= read_learned(out / LEARNED)
        trained = renew_record(read_trained_videos(out), trained, out / TRAINED_VIDEOS)
    learned.write(out)
    if trained.videos:
        trained.write(out)


def _learned_from(pictures: LabelledPictures, rows: tuple[int, ...]) -> LearnedClips:
    chosen = [pictures.pictures[row] for row in rows]
    of_shards = LearnedClips.from_keys([each.key for each in chosen if is_key(each.key)], labelled=True)
    frames = [each for each in chosen if not is_key(each.key)]
    recordings = [f"{each.group.split('/')[0]}/{each.key.rpartition('/')[0]}" for each in frames]
    identities = [ClipIdentity(key=each.key, recording=name) for each, name in zip(frames, recordings, strict=True)]
    return of_shards | LearnedClips.with_labels(identities)


def _describe(pictures: LabelledPictures, split: PictureSplit, steps: int, every: int) -> str:
    scored = f"scored every {every}" if every < steps else "scored at the end"
    return (
        f"{pictures.task.name}: {len(split.train)} training and "
        f"{count_noun(len(split.validation), 'validation picture')}; {count_noun(steps, 'step')}, {scored}"
    )


def _describe_divergence(limit: int, step: int, micro_batches: object) -> FaultError:
    return FaultError(
        f"step {step}: {limit} steps in a row gave a loss or gradient that is not finite; take a lower optim.base_lr, "
        "or precision.compute bf16 or fp32, and a new --out"
    )


def _step_cost(recipe: ImageFinetuneRecipe, network: PictureNetwork, context: DistributedContext) -> StepCost:
    if context.rank:
        return StepCost(clips=recipe.batch, flops=0.0, peak=NO_PEAK, devices=context.size, noun="picture")
    forward = count_forward(network.build, ((3, network.size_px, network.size_px),), (), 2, recipe.precision)
    return StepCost(
        clips=recipe.batch,
        flops=3 * 2 * forward.gmacs * 1e9 * recipe.batch,
        peak=peak_flops(context.device, recipe.precision),
        devices=context.size,
        noun="picture",
    )


def _save_last(network: PictureNetwork, out: Path) -> None:
    """Write RUN/model, and beside each model the list of what it has learned from."""
    if not (out / MODEL).exists():
        network.save(out / MODEL)
    for folder in (out / MODEL, out / BEST / PROTOCOL):
        if folder.is_dir():
            copy_list(out, folder)
            copy_trained_videos(out, folder)
    draw_learning_curve(out)
