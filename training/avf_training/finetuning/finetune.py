"""Post-pre-training and fine-tuning: one stage, from a starting model to answers on people it never saw.

RUN/run.json, checkpoints/, metrics.jsonl, tensorboard/   as of any run (see run.py)
RUN/validation.jsonl              scores after each epoch, on what was held out and on the test clips
RUN/best/validation, ...      the models of the epochs that each protocol chose
RUN/predictions/validation.json     what that model says to each test clip, all views
RUN/result.json               the scores by protocol; written last: a run is done when it is there
"""

import json
from pathlib import Path
from typing import Any

import torch
from avf_shards import durable_io
from avf_shards.errors import FaultError, UserError
from torch import Tensor, nn

from avf_training.config.finetune import FinetuneRecipe
from avf_training.data.finetuning import FinetuningBatch, FinetuningParams, FinetuningSampler, finetuning_input
from avf_training.data.loader import StreamLoader
from avf_training.data.stream import ClipStream, StreamConfig
from avf_training.distributed.collectives import process_group
from avf_training.distributed.context import DistributedContext
from avf_training.distributed.parallelize import full_state_dict, wrap_ddp
from avf_training.evaluation.results import PREDICTIONS, RESULT, predict_test_clips, scores_as_dict, write_predictions
from avf_training.finetuning.initialization import check_leakage, load_start, start_digest
from avf_training.finetuning.losses import output_spec, task_loss
from avf_training.finetuning.model_selection import (
    BEST,
    PROTOCOLS,
    BestCheckpointTracker,
    Protocol,
    read_validation,
    select_epoch,
)
from avf_training.models.classifier import Classifier
from avf_training.models.flops import NO_PEAK, peak_flops, training_flops
from avf_training.models.precision import set_numerics
from avf_training.tasks.sampling import TrainingOrder
from avf_training.tasks.task import Task
from avf_training.trainer.checkpoint import Checkpoints
from avf_training.trainer.loop import Forward, TrainStep
from avf_training.trainer.metrics import MetricsWriter
from avf_training.trainer.optimizer import adamw, layer_scale, schedule
from avf_training.trainer.progress import ProgressReporter, StepCost
from avf_training.trainer.run_folder import MODEL, exclusive_lock, freeze_identity
from avf_training.trainer.tensorboard import TensorBoardLogger
from avf_training.trainer.trainer import RunLengths, Trainer


def train_stage(recipe: FinetuneRecipe, task: Task, start: Path | None, out: Path, device: str = "cpu") -> Path:
    """Train to the recipe's last step, from the newest checkpoint in `out` or from `start`; RUN/result.json.

    start: a saved model or a finished run, which must not have seen what is tested here; None starts from nothing.
    Raises UserError, FaultError.
    """
    config = recipe.model_config()
    identity: dict[str, Any] = {"recipe": recipe.frozen(), "start": None if start is None else start_digest(start)}
    identity["inherited_keys"] = [] if start is None else check_leakage(start, task)
    with process_group(device) as place, exclusive_lock(out, place.rank):
        set_numerics(recipe.threads, recipe.precision)
        freeze_identity(out, identity | task.identity() | {"told": dict(task.told)}, place.rank)
        if (out / RESULT).is_file():
            return out / RESULT
        torch.manual_seed(recipe.seed)
        model = Classifier(config, task.outputs, recipe.drop_path, output_spec(recipe, task))
        kept = load_start(model, start) if start is not None else []
        model.to(place.device).train()
        model.checkpoint_activations(recipe.activation_checkpointing)
        draws = FinetuningSampler(geometry=config.geometry, augment=recipe.augment, mix=recipe.mixing(task.data))
        loader = _loader(recipe, task, draws, place, out)
        per_epoch = max(1, len(loader.stream.order) // recipe.batch)
        steps = recipe.steps or max(1, int(recipe.epochs * len(loader.stream.order) / recipe.batch))
        warmup = int(recipe.optim.warmup_epochs * per_epoch) if recipe.warmup_steps is None else recipe.warmup_steps
        wrapped, loop = _loop(recipe, model, _forward(recipe, task, draws), place=place, steps=steps, warmup=warmup)
        run = Trainer(
            model=wrapped,
            loop=loop,
            loader=loader,
            checkpoints=Checkpoints(out, recipe.checkpoint_keep, place.rank),
            place=place,
        )
        begun = run.resume(None)
        every = per_epoch * recipe.evaluate_every
        chooser = BestCheckpointTracker(recipe, task, model, out, place=place, every=every)
        metrics = board = None
        if place.rank == 0:
            metrics = MetricsWriter(out, begun, steps)
            board = TensorBoardLogger(out, begun, recipe.wandb, recipe.frozen())
            metrics.say(_sentence(recipe, task, start, kept=kept, steps=steps, per_epoch=per_epoch))
        work = _step_cost(recipe, task, place)
        watch = ProgressReporter(metrics, board, work, log_every=recipe.log_every, look=chooser.look, look_every=every)

        def diverged(step: int, micro_batches: object) -> FaultError:
            return FaultError(f"{out}: {recipe.nonfinite_limit} steps in a row have no finite loss, up to step {step}")

        lengths = RunLengths(
            steps=steps,
            accumulation=recipe.accumulation(place.size),
            checkpoint_every=every,
            nonfinite_limit=recipe.nonfinite_limit,
        )
        try:
            reached = run.train(begun, lengths, watch, diverged)
        finally:
            watch.close()
        if reached < steps:
            return out
        if not (out / MODEL).exists():
            tensors = full_state_dict(model)
            if place.rank == 0:
                model.save_pretrained(out / MODEL, tensors)
        return finish_stage(recipe, task, out, place)


def best_folder(run: Path, protocol: Protocol) -> Path:
    """Where the model lies that a protocol chose."""
    return run / MODEL if protocol == "last" else run / BEST / protocol


def load_best_model(run: Path, protocol: Protocol) -> Path:
    """The same, of a finished run. Raises UserError where the protocol chose none."""
    folder = best_folder(run, protocol)
    if not folder.exists():
        there = [one for one in PROTOCOLS if best_folder(run, one).exists()]
        raise UserError(f"{run}: has no model by {protocol!r}; it has {', '.join(there) or 'none yet'}")
    return folder


def finish_stage(recipe: FinetuneRecipe, task: Task, out: Path, place: DistributedContext) -> Path:
    """The last test of the chosen models with all views; RUN/result.json."""
    metric, rows = recipe.selection_metric(task.data), read_validation(out)
    result: dict[str, Any] = {"task": task.name, "data": task.data.name, "selection_metric": metric, "protocols": {}}
    result |= {"train": len(task.train), "validation": len(task.validation), "test": len(task.test)}
    for protocol in PROTOCOLS:
        folder = best_folder(out, protocol)
        if not folder.exists():
            continue
        chosen = None if protocol == "last" else select_epoch(rows, protocol, metric)
        entry: dict[str, Any] = (
            {"step": None, "by": None} if chosen is None else dict(zip(("step", "by"), chosen, strict=True))
        )
        if task.test:
            model = Classifier.from_pretrained(folder).to(place.device)
            answers = predict_test_clips(model, recipe, task, task.test, segments=recipe.segments, place=place)
            if place.rank == 0:
                write_predictions(out / PREDICTIONS / f"{protocol}.json", task, answers)
            entry |= scores_as_dict(task, answers)
        result["protocols"][protocol] = entry
    if place.rank == 0:
        durable_io.replace_file(out / RESULT, (json.dumps(result, indent=1, sort_keys=True) + "\n").encode())
    return out / RESULT


def _loader(
    recipe: FinetuneRecipe, task: Task, draws: FinetuningSampler, place: DistributedContext, out: Path
) -> StreamLoader[FinetuningParams, FinetuningBatch]:
    order = TrainingOrder(task.shelf.corpus, [task.number[key] for key in task.train], recipe.seed, recipe.repeats)
    config = StreamConfig(
        shards=".", batch=recipe.micro_batch * place.size, seed=recipe.seed, max_fault_share=recipe.max_fault_share
    )
    stream = ClipStream(config, draws, place.size, place.rank, (order, task.shelf))
    return StreamLoader(
        stream,
        workers=recipe.workers,
        device=place.device,
        quarantine=out / "quarantine.jsonl",
        log=out / "delivery.jsonl",
    )


def _loop(
    recipe: FinetuneRecipe,
    model: Classifier,
    forward: Forward[FinetuningBatch],
    *,
    place: DistributedContext,
    steps: int,
    warmup: int,
) -> tuple[nn.Module, TrainStep[FinetuningBatch]]:
    config = recipe.model_config()
    depth = (config.video if "v" in config.modalities else config.audio).depth
    fusion = config.fusion_depth if config.modalities == "av" else 0

    def scale(name: str) -> float:
        return layer_scale(name, recipe.layer_decay, depth, fusion, recipe.optim.decay)

    wrapped = wrap_ddp(model, place)
    scaler = torch.amp.GradScaler(place.device.type, enabled=recipe.precision.compute == "fp16")
    rates = schedule(recipe.optim, recipe.batch, steps, warmup)
    optimiser = adamw(model, recipe.optim, scale)
    return wrapped, TrainStep(wrapped, optimiser, rates, forward, clip_norm=recipe.optim.clip_norm, scaler=scaler)


def _forward(recipe: FinetuneRecipe, task: Task, draws: FinetuningSampler) -> Forward[FinetuningBatch]:
    loss_of = task_loss(recipe, task)

    def forward(model: nn.Module, batch: FinetuningBatch) -> tuple[Tensor, dict[str, Tensor]]:
        video, audio = finetuning_input(batch, draws, recipe.modalities)
        with recipe.precision.autocast(batch.planes_RTQW.device.type):
            logits_BJ = model(video, audio).logits_BJ
        return loss_of(logits_BJ.float(), batch), {}

    return forward


def _step_cost(recipe: FinetuneRecipe, task: Task, place: DistributedContext) -> StepCost:
    """What one step computes, and what rank 0's device could; other ranks tell nothing."""
    return StepCost(
        clips=recipe.batch,
        flops=training_flops(recipe.model_config(), task.outputs) * recipe.batch,
        peak=NO_PEAK if place.rank else peak_flops(place.device, recipe.precision),
        devices=place.size,
    )


def _sentence(
    recipe: FinetuneRecipe, task: Task, start: Path | None, *, kept: list[str], steps: int, per_epoch: int
) -> str:
    how = f"from {start}, {len(kept)} tensors new" if start is not None else "from nothing"
    more = "".join(f"\n  note: {one}" for one in task.told.get("differences", ()))
    return (
        f"{task.name}: {len(task.train)} clips to train on, {len(task.validation)} held out, {len(task.test)} to test; "
        f"{recipe.model} ({recipe.modalities}), {how}; {steps} steps, {per_epoch} an epoch{more}"
    )
