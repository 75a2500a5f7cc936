"""Post-pre-training and fine-tuning: train one stage from a starting model, select epochs, test the selected models.

RUN/run.json, checkpoints/, metrics.jsonl, tensorboard/   as for every run (see trainer/run_folder.py)
RUN/learned.parquet                what the model learned from, here and in the stages before; also beside each model
RUN/validation.jsonl               scores after each epoch, on the validation and on the test clips
RUN/best/validation/, test_best/   the models of the epochs that each protocol selected
RUN/best.next/                     a better model before its row is in validation.jsonl; then it moves to RUN/best
RUN/predictions/PROTOCOL.json      the selected model's predictions for each test clip, all views
RUN/result.json                    the scores by protocol; written last: a run is finished when the file exists
"""

import json
import logging
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from avf_shards.errors import FaultError, UserError
from avf_shards.schema.versions import stamp
from avf_shards.system import durable_io
from torch import Tensor, nn

from avf_training.config.finetune import FREE, PROTOCOLS, FinetuneRecipe, SelectionProtocol
from avf_training.config.hints import log_hints
from avf_training.config.micro_batch import fix_groups
from avf_training.data.finetuning_sampler import FinetuningBatch, FinetuningSampler, finetuning_input
from avf_training.data.loader import StreamLoader
from avf_training.data.ordered_stream import StreamConfig
from avf_training.data.stream import ClipStream
from avf_training.distributed.collectives import decide_on_rank_0, process_group
from avf_training.distributed.context import DistributedContext
from avf_training.distributed.parallelize import wrap_ddp
from avf_training.evaluation.calibration import describe_reliability
from avf_training.evaluation.results import PREDICTIONS, predict_keys, scores_as_dict, write_predictions
from avf_training.finetuning.adapters import adapt_model, refuse_adapters, tensors_to_save
from avf_training.finetuning.calibrate import calibrate_model, refuse_calibration, set_temperature
from avf_training.finetuning.initialization import count_seen, inherit_learned, load_start, start_digest
from avf_training.finetuning.losses import class_counts, forged_windows, output_spec, task_loss
from avf_training.finetuning.model_selection import BEST, BestCheckpointTracker, read_validation, select_epoch
from avf_training.finetuning.pool_choice import choose_pool
from avf_training.finetuning.setting_checks import layer_depths, refuse_other_moments, refuse_settings
from avf_training.models.batch_norm import defer_running_statistics
from avf_training.models.classifier import Classifier
from avf_training.models.drop_path import drop_path_keys, set_drop_path_keys
from avf_training.models.flops import NO_PEAK, peak_flops, training_flops
from avf_training.models.precision import set_numerics
from avf_training.tasks.class_imbalance import epoch_counts
from avf_training.tasks.learned_clips import LearnedClips, copy_list
from avf_training.tasks.sampling import ClassOrder, TrainingOrder
from avf_training.tasks.task import Task
from avf_training.tasks.train_share import take_share
from avf_training.trainer.checkpoint import Checkpoints
from avf_training.trainer.metrics_writer import MetricsWriter
from avf_training.trainer.optimizer import adamw, freeze_layers, layer_scale, schedule
from avf_training.trainer.progress import ProgressReporter, StepCost
from avf_training.trainer.run_folder import MODEL, RESULT, exclusive_lock, freeze_identity
from avf_training.trainer.tensorboard import TensorBoardLogger
from avf_training.trainer.train_step import Forward, TrainStep
from avf_training.trainer.trainer import RunLengths, Trainer
from avf_training.trainer.weight_average import AveragingAdamW

log = logging.getLogger(__name__)


def train_stage(recipe: FinetuneRecipe, task: Task, start: Path | None, out: Path, device: str = "cpu") -> Path:
    """Train to the recipe's last step, test the selected models and return the path of RUN/result.json.

    Training continues from the newest checkpoint in `out`. Where a signal stopped it, the state is saved and `out` is
    returned. Raises UserError, FaultError.

    Args:
        start: a saved model or a finished run, not trained on a clip that is tested here; None: random weights.
    """
    # Before any folder is made: a refused start must leave no empty run folder.
    refuse_settings(recipe, task)
    refuse_adapters(recipe.lora, start)
    refuse_calibration(recipe, task)
    task = take_share(task, recipe.train_share)
    inherited = LearnedClips() if start is None else inherit_learned(start, task)
    identity: dict[str, Any] = {
        "start": None if start is None else start_digest(start),
        "summary": {**task.summary, "test_clips_seen_without_labels": count_seen(inherited, task)},
    }
    with process_group(device) as context, ExitStack() as until_done:
        set_numerics(recipe.threads, recipe.precision)
        recipe, groups = decide_on_rank_0(partial(fix_groups, recipe, out, context.size))
        # Before the folder, too: a start of another size is refused here.
        first = None if decide_on_rank_0((out / RESULT).is_file) else _make_model(recipe, task, start)
        lock = until_done.enter_context(exclusive_lock(out, context.rank))
        freeze_identity(out, identity | groups | task.identity(), context.rank, FREE)
        refuse_other_moments(recipe, task, groups["recipe"]["micro_batch"])
        if first is None or decide_on_rank_0((out / RESULT).is_file):  # written last, so the run is finished
            return out / RESULT
        model, initialization = first
        if context.rank == 0:
            own = LearnedClips.with_labels(task.identity_of[key] for key in (*task.train, *task.validation))
            (inherited | own).write(out)
        model.to(context.device).train()
        model.checkpoint_activations(recipe.activation_checkpointing)
        defer_running_statistics(model, recipe.batch_norm_clips or recipe.micro_batch)
        checkpoints = Checkpoints(out, recipe.checkpoint_keep, context.rank, lock)
        if not _train(recipe, task, model, checkpoints, context=context, initialization=initialization):
            return out
        if not decide_on_rank_0(
            (out / MODEL).exists
        ):  # an earlier start may have saved it and been stopped during the test
            tensors = tensors_to_save(model, recipe.lora)
            if context.rank == 0:
                model.save_pretrained(out / MODEL, tensors)
        return finish_stage(recipe, task, out, context)


def _make_model(recipe: FinetuneRecipe, task: Task, start: Path | None) -> tuple[Classifier, str]:
    """Return the model before the first step, on the CPU, and what it starts from. Raises UserError."""
    torch.manual_seed(recipe.seed)  # the head is drawn alike on every rank
    spec = output_spec(recipe, task)
    model = Classifier(recipe.model_config(), task.outputs, recipe.drop_path, spec, head=recipe.head)
    new = load_start(model, start) if start is not None else []
    freeze_layers(model, recipe.frozen_layers, depth=layer_depths(recipe)["depth"], rule=recipe.optim.decay)
    if start is not None and recipe.lora.rank:
        adapt_model(model, recipe.lora, start, new)
    return model, "from random weights" if start is None else f"from {start}, {len(new)} tensors new"


def best_folder(run: Path, protocol: SelectionProtocol) -> Path:
    """Return the folder of the model that a protocol selects in a run."""
    return run / MODEL if protocol == "last" else run / BEST / protocol


def load_best_model(run: Path, protocol: SelectionProtocol) -> Path:
    """Return `best_folder` of a finished run. Raises UserError where the protocol has selected no model."""
    folder = best_folder(run, protocol)
    if not folder.exists():
        known = [name for name in PROTOCOLS if best_folder(run, name).exists()]
        raise UserError(f"{run}: has no model by protocol {protocol!r}; it has {', '.join(known) or 'none yet'}")
    return folder


def finish_stage(recipe: FinetuneRecipe, task: Task, out: Path, context: DistributedContext) -> Path:
    """Test the selected models with all views and return the path of RUN/result.json."""
    metric, rows = recipe.selection_metric(task.data), decide_on_rank_0(lambda: read_validation(out))
    protocols = decide_on_rank_0(lambda: [name for name in PROTOCOLS if best_folder(out, name).exists()])
    result: dict[str, Any] = {"task": task.name, "data": task.data.name, "selection_metric": metric, "protocols": {}}
    result |= {"train": len(task.train), "validation": len(task.validation), "test": len(task.test)}
    for protocol in protocols:
        folder = best_folder(out, protocol)
        if context.rank == 0:
            copy_list(out, folder)
        selected = None if protocol == "last" else select_epoch(rows, protocol, metric)
        step, score = (None, None) if selected is None else selected
        entry: dict[str, Any] = {"step": step, "selection_score": score}
        if selected is not None and score is not None:
            log.info(
                "%s: protocol %s selects step %d (%s %.2f %%)",
                task.name,
                protocol,
                selected[0] + 1,
                metric,
                100 * score,
            )
        entry |= _test_model(recipe, task, out, protocol, context)
        result["protocols"][protocol] = entry
    if context.rank == 0:
        durable_io.replace_file(
            out / RESULT, (json.dumps(stamp(result, "test result"), indent=1, sort_keys=True) + "\n").encode()
        )
    return out / RESULT


def _test_model(
    recipe: FinetuneRecipe, task: Task, out: Path, protocol: SelectionProtocol, context: DistributedContext
) -> dict[str, Any]:
    """Calibrate the model of a protocol where the recipe asks for it, and test it; return its values of result.json."""
    folder = best_folder(out, protocol)
    model = Classifier.from_pretrained(folder).to(context.device)
    calibration = calibrate_model(model, folder, recipe, task, context) if recipe.calibrate else None
    values: dict[str, Any] = {} if calibration is None else {"calibration": calibration}
    if task.data.task == "detection" and recipe.pool == "choose":
        values["pooling"] = choose_pool(model, folder, recipe, task, context)
    if not task.test:  # post-pre-training has no test clips
        return values
    test = partial(predict_keys, model, recipe, task, task.test, segments=recipe.segments, context=context)
    predictions = test()
    if context.rank == 0:
        write_predictions(out / PREDICTIONS / f"{protocol}.json", task, predictions)
    if calibration is not None:
        set_temperature(model, 1.0)
        calibration["test"] = {"before": describe_reliability(test()), "after": describe_reliability(predictions)}
    return values | scores_as_dict(task, predictions)


@dataclass(frozen=True, kw_only=True)
class StageLengths:
    """Lengths of a stage in optimizer steps."""

    clips: int  # different ones of an epoch
    steps: int  # of the whole stage
    per_epoch: int  # steps of one pass over the training clips, rounded down
    warmup: int  # steps in which the learning rate rises


def training_steps(recipe: FinetuneRecipe, clips: int) -> tuple[int, int]:
    """Return the optimizer steps of a stage on so many different clips an epoch, and the whole epochs in them."""
    lengths = _stage_lengths(recipe, clips)
    return lengths.steps, lengths.steps // lengths.per_epoch


def _stage_lengths(recipe: FinetuneRecipe, clips: int) -> StageLengths:
    per_epoch = max(1, clips // recipe.batch)
    return StageLengths(
        clips=clips,
        steps=recipe.steps or max(1, int(recipe.epochs * clips / recipe.batch)),
        per_epoch=per_epoch,
        warmup=int(recipe.optim.warmup_epochs * per_epoch) if recipe.warmup_steps is None else recipe.warmup_steps,
    )


def _train(
    recipe: FinetuneRecipe,
    task: Task,
    model: Classifier,
    checkpoints: Checkpoints,
    *,
    context: DistributedContext,
    initialization: str,
) -> bool:
    """Train from the newest checkpoint on; return False where a signal stopped the run before its last step."""
    out = checkpoints.run
    sampler = _make_sampler(recipe, task, model)
    loader = _make_loader(recipe, task, sampler, context, out)
    lengths = _stage_lengths(recipe, task.epoch_clips or len(task.train))
    if context.rank == 0:
        _log_hints(recipe, lengths, context)
    wrapped = wrap_ddp(model, context)
    trainer = Trainer(
        model=wrapped,
        train_step=make_finetuning_step(recipe, task, model, wrapped, sampler=sampler, lengths=lengths),
        loader=loader,
        checkpoints=checkpoints,
        context=context,
    )
    start = trainer.resume(None)
    every = lengths.per_epoch * recipe.evaluate_every
    tracker = BestCheckpointTracker(recipe, task, model, out, context=context, every=every)
    if isinstance(optimizer := trainer.train_step.optimizer, AveragingAdamW):
        tracker.average = optimizer
    metrics = board = None
    if context.rank == 0:
        metrics = MetricsWriter(out, start, lengths.steps)
        board = TensorBoardLogger(out, start, recipe.wandb, recipe.frozen())
        metrics.begin(_describe_stage(recipe, task, lengths, initialization))
    cost = _step_cost(recipe, model, context)
    reporter = ProgressReporter(
        metrics, board, cost, log_every=recipe.log_every, evaluate=tracker.after_epoch, eval_every=every
    )

    def diverged(step: int, micro_batches: object) -> FaultError:
        return FaultError(f"{out}: {recipe.nonfinite_limit} steps in a row have no finite loss, up to step {step}")

    run_lengths = RunLengths(
        steps=lengths.steps,
        accumulation=recipe.accumulation(context.size),
        checkpoint_every=every,
        nonfinite_limit=recipe.nonfinite_limit,
        is_over=tracker.is_over,
    )
    try:
        reached = trainer.train(start, run_lengths, reporter, diverged)
    finally:
        reporter.close()
    finished = reached >= lengths.steps or tracker.is_over(reached)
    if finished and tracker.average is not None:
        tracker.average.take_average()  # nothing is trained any more: the average is the last model
    return finished


def _log_hints(recipe: FinetuneRecipe, lengths: StageLengths, context: DistributedContext) -> None:
    log_hints(
        recipe,
        clips=lengths.clips,
        steps=lengths.steps,
        warmup_steps=lengths.warmup,
        device_type=context.device.type,
    )


def _step_cost(recipe: FinetuneRecipe, model: Classifier, context: DistributedContext) -> StepCost:
    return StepCost(
        clips=recipe.samples,
        flops=training_flops(model.config, model.outputs) * recipe.samples,
        peak=NO_PEAK if context.rank else peak_flops(context.device, recipe.precision),
        devices=context.size,
    )


def _make_sampler(recipe: FinetuneRecipe, task: Task, model: Classifier) -> FinetuningSampler:
    return FinetuningSampler(
        geometry=model.config.geometry,
        augment=recipe.augment,
        mix=recipe.mixing(task.data),
        forged=forged_windows(recipe, task),
    )


def _make_loader(
    recipe: FinetuneRecipe, task: Task, sampler: FinetuningSampler, context: DistributedContext, out: Path
) -> StreamLoader[FinetuningBatch]:
    order = _training_order(recipe, task)
    # The order and the reader are given to the stream; the folder of its config is not read.
    config = StreamConfig(
        shards=".", batch=recipe.micro_batch * context.size, seed=recipe.seed, max_fault_share=recipe.max_fault_share
    )
    stream = ClipStream(config, sampler, context.size, context.rank, (order, task.shards))
    return StreamLoader(
        stream,
        workers=recipe.workers,
        device=context.device,
        quarantine=out / "quarantine.jsonl",
        delivery_log=out / "delivery.jsonl",
    )


def _training_order(recipe: FinetuneRecipe, task: Task) -> TrainingOrder:
    """Return the order of the training clips, in which each class has the share that the recipe gives it."""
    corpus, sampling, seed = task.shards.corpus, recipe.imbalance.sampling, recipe.seed
    index_of = {key: task.index_of[key] for key in task.train}
    epoch = task.epoch_clips or len(index_of)
    if sampling == "natural" and epoch == len(index_of):
        return TrainingOrder(corpus, list(index_of.values()), seed, repeats=recipe.repeats, batch=recipe.batch)
    # Dimensions have no classes: all clips are one.
    classes = task.is_classification
    class_of = {index: int(task.truth[key]) if classes else 0 for key, index in index_of.items()}
    quotas = epoch_counts(class_counts(task) if classes else [len(class_of)], sampling, epoch)
    return ClassOrder(corpus, class_of, quotas, seed, repeats=recipe.repeats, batch=recipe.batch)


def make_finetuning_step(
    recipe: FinetuneRecipe,
    task: Task,
    model: Classifier,
    wrapped: nn.Module,
    *,
    sampler: FinetuningSampler,
    lengths: StageLengths,
) -> TrainStep[FinetuningBatch]:
    """Return the training step of a stage.

    Args:
        recipe: settings of the stage.
        task: its clips and labels.
        model: the model itself, the names of whose parameters decide their learning rates.
        wrapped: the model as all ranks train it.
        sampler: settings of augmentation and mixing.
        lengths: steps of the stage.
    """
    depths = layer_depths(recipe)

    def scale(name: str) -> float:
        return layer_scale(name, recipe.layer_decay, depths["depth"], depths["fusion"], recipe.optim.decay)

    return TrainStep(
        wrapped,
        adamw(model, recipe.optim, scale, recipe.average_decay),
        schedule(recipe.optim, recipe.batch, lengths.steps, lengths.warmup),
        _make_forward(recipe, task, sampler),
        clip_norm=recipe.optim.clip_norm,
        # fp16 gradients underflow without a scaled loss; bf16 has the exponent range of fp32.
        scaler=torch.amp.GradScaler(next(model.parameters()).device.type, enabled=recipe.precision.compute == "fp16"),
    )


def _make_forward(recipe: FinetuneRecipe, task: Task, sampler: FinetuningSampler) -> Forward[FinetuningBatch]:
    loss_of = task_loss(recipe, task)

    def forward(model: nn.Module, batch: FinetuningBatch) -> tuple[Tensor, dict[str, Tensor]]:
        video, audio = finetuning_input(batch, sampler, recipe.modalities)
        keys_B = drop_path_keys(recipe.seed, batch.first_position, len(batch))
        set_drop_path_keys(model, keys_B.to(batch.planes_RTQW.device))
        with recipe.precision.autocast(batch.planes_RTQW.device.type):
            logits_BJ = model(video, audio).logits_BJ
        return loss_of(logits_BJ.float(), batch), {}

    return forward


def _describe_stage(recipe: FinetuneRecipe, task: Task, lengths: StageLengths, initialization: str) -> str:
    notes = "".join(f"\n  note: {sentence}" for sentence in task.summary.get("differences", ()))
    return (
        f"{task.name}: {len(task.train)} training, {len(task.validation)} validation, {len(task.test)} test clips; "
        f"{recipe.model} ({recipe.modalities}), {initialization}; {lengths.steps} steps, "
        f"{lengths.per_epoch} per epoch{notes}"
    )
