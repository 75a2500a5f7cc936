"""Training of a sequence model on tracks and labels, on the loop of the other stages: the stage on one screen.

A run that was killed goes on from its newest checkpoint with the same call, and ends with the same bits.
"""

import logging
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from avf_shards.errors import UserError
from avf_shards.text import count_noun
from torch import nn

from avf_training.config.hints import log_few_steps
from avf_training.distributed.collectives import decide_on_rank_0, process_group
from avf_training.distributed.context import DistributedContext
from avf_training.distributed.environment import WorldSize, refuse_several_processes
from avf_training.distributed.parallelize import wrap_ddp
from avf_training.framewise.labels.tasks import FrameLabelTask
from avf_training.framewise.protocol import ProtocolOptions
from avf_training.framewise.tracks.frame_rates import warn_of_rates_together
from avf_training.framewise.training.frame_network import FrameModelSpec, FrameNetwork
from avf_training.framewise.training.frame_objective import frames_forward, make_frame_loss, two_branch_forward
from avf_training.framewise.training.frame_recipe import FREE, FrameRecipe
from avf_training.framewise.training.frame_result import (
    DIVERGED_REMEDY,
    describe_run,
    refuse_missing_score,
    renew_trained,
    write_result,
)
from avf_training.framewise.training.frame_schedule import make_frame_schedule
from avf_training.framewise.training.frame_scores import describe_nonfinite, explain_undefined, score_frames
from avf_training.framewise.training.frame_selection import FrameSelection
from avf_training.framewise.training.joined_tracks import JoinedTracksReader
from avf_training.framewise.training.kernel_machine import train_kernel_machine
from avf_training.framewise.training.labelled_videos import LabelledVideos, read_labelled_videos
from avf_training.framewise.training.row_store import RowStore
from avf_training.framewise.training.second_branch import (
    HardClipLoader,
    add_trained_of_base,
    load_base,
    measure_clips,
    put_base,
)
from avf_training.framewise.training.validation import ScoredFrames, Validation, join_scored
from avf_training.framewise.training.window_data import choose_rows, fit_scales, scale_video
from avf_training.framewise.training.window_loader import WindowBatch, WindowLoader
from avf_training.models.flops import NO_PEAK
from avf_training.models.precision import use_single_precision
from avf_training.trainer.checkpoint import Checkpoints
from avf_training.trainer.learning_curve import draw_learning_curve
from avf_training.trainer.metrics_writer import MetricsWriter
from avf_training.trainer.optim_config import OptimConfig
from avf_training.trainer.optimizer import adamw
from avf_training.trainer.progress import ProgressReporter, StepCost
from avf_training.trainer.run_folder import MODEL, RESULT, exclusive_lock, freeze_identity
from avf_training.trainer.tensorboard import TensorBoardLogger
from avf_training.trainer.train_step import TrainStep
from avf_training.trainer.trainer import RunLengths, Trainer

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FrameTrainingData:
    """What a run reads."""

    tracks: Path  # folder of feature tracks
    labels: Path  # folder of label tracks
    task: FrameLabelTask


def run_frame_training(recipe: FrameRecipe, data: FrameTrainingData, out: Path, device: str = "cpu") -> Path | None:
    """Train to the last step, or until scores stop to rise; return RUN/result.json, None where a signal stopped it.

    Raises UserError, FaultError.
    """
    if recipe.base is not None and recipe.model != "fusion_two_branches":
        raise UserError(
            f"base={recipe.base}: {recipe.model} has no frozen branch; leave it out, or take fusion_two_branches, as "
            "of --recipe netease_two_branches"
        )
    if recipe.model == "kernel_elm":
        refuse_several_processes("kernel_elm is fitted at once: it")
    use_single_precision(recipe.threads)
    store = RowStore(out) if recipe.rows_in == "disk" else None
    reader = JoinedTracksReader(data.tracks, recipe.visual, recipe.audio, store=store)
    with warn_of_rates_together():
        videos = read_labelled_videos(data.labels, data.task, recipe, reader)
    widths = tuple(reader.widths[name] for name in recipe.extractors)
    spec = FrameModelSpec(recipe=recipe, task=data.task, identities=reader.identities, widths=widths)
    with process_group(device) as context, ExitStack() as until_done:
        if recipe.model == "kernel_elm":
            lock = until_done.enter_context(exclusive_lock(out))
            freeze_identity(out, {"recipe": recipe.frozen(), "frames": spec.to_json()}, 0, FREE)
            with warn_of_rates_together():
                return train_kernel_machine(spec, videos, out)
        base = None
        if recipe.model == "fusion_two_branches":
            base, digest = load_base(spec)
            spec = replace(spec, base_sha256=digest)
            videos = add_trained_of_base(spec, videos)
        with warn_of_rates_together():
            run = FrameRun(spec, videos, context, base)
        lock = until_done.enter_context(exclusive_lock(out, context.rank))
        identity = {"recipe": recipe.frozen(), "frames": spec.to_json(), "windows": run.loader.digest()}
        freeze_identity(out, identity, context.rank, FREE)
        if decide_on_rank_0((out / RESULT).is_file):  # written last, so the run is finished
            return decide_on_rank_0(partial(renew_trained, out, videos.trained))
        checkpoints = Checkpoints(out, recipe.checkpoint_keep, context.rank, lock)
        wrapped = wrap_ddp(run.model, context)
        trainer = Trainer(
            model=wrapped, train_step=run.train_step(wrapped), loader=run.loader, checkpoints=checkpoints,
            context=context,
        )  # fmt: skip
        if not run.train(trainer, out):
            return None
        return decide_on_rank_0(partial(_finish, run, spec, videos, out))


def _finish(run: "FrameRun", spec: FrameModelSpec, videos: LabelledVideos, out: Path) -> Path:
    """Write what is left of a run that is done, and return RUN/result.json."""
    if not (out / MODEL).exists():
        run.model.save(out / MODEL)
    draw_learning_curve(out)
    selection = run.selection(out)
    if not selection.has_score():
        refuse_missing_score(out, spec, run.explain_missing_score())
    return write_result(out, describe_run(spec, videos, run.counts, selection))


class FrameRun:
    """The model, windows and loss of a run."""

    def __init__(
        self,
        spec: FrameModelSpec,
        videos: LabelledVideos,
        context: DistributedContext,
        base: FrameNetwork | None = None,
    ) -> None:
        """Draw the weights and cut the windows. Raises UserError where labels and tracks do not fit.

        Args:
            base: whose weights and scales the frozen branch of two has.
        """
        self.spec, self.recipe, self.context = spec, spec.recipe, context
        device, process = context.device, WorldSize(context.size, context.rank)
        self.options: ProtocolOptions = self.recipe.options
        torch.manual_seed(self.recipe.seed)
        self.model = FrameNetwork(spec).to(device).train()
        training = [choose_rows(each.tracks, each.labels, self.recipe) for each in videos.training]
        scales = fit_scales(training, self.recipe) if base is None else base.scales()
        self.model.set_scales(scales)
        scale = partial(scale_video, recipe=self.recipe, scales=scales)
        self.loss = make_frame_loss(spec.task, self.recipe, self.options, list(videos.class_counts))
        scaled = [scale(each) for each in training]
        self.loader = WindowLoader(scaled, self.recipe, self.options, device, process)
        if base is not None:
            put_base(self.model, base)
            losses_K = decide_on_rank_0(partial(measure_clips, base.to(device), self.loader, self.loss))
            self.loader = HardClipLoader(scaled, self.recipe, self.options, device, losses_K=losses_K, process=process)
        self.recipe.parts(self.loader.batch_windows, context.size)  # refuses a world that does not fit
        self.validation = Validation(videos.validation, self.recipe, self.options, scales)
        self.counts = self.validation.counts
        if context.rank == 0:
            self.counts.warn()
        per_epoch = self.loader.steps_per_epoch
        self.steps = self.recipe.steps or self.recipe.epochs * per_epoch
        self.every = min(self.steps, per_epoch * self.recipe.evaluate_every)
        if self.recipe.steps is None and context.rank == 0:
            windows = len(self.loader)
            log_few_steps(self.recipe.epochs, self.steps, per_epoch=per_epoch, items=windows, noun="window")

    def train_step(self, wrapped: nn.Module) -> TrainStep[WindowBatch]:
        """Return the optimizer step. `wrapped`: the model as all processes train it."""
        recipe = self.recipe
        config = OptimConfig(
            base_lr=recipe.rate,
            min_lr=0.0,
            betas=recipe.betas,
            weight_decay=recipe.weight_decay,
            warmup_epochs=0,
            clip_norm=recipe.clip_norm,
        )
        has_second = isinstance(self.loader, HardClipLoader)
        forward = (two_branch_forward if has_second else frames_forward)(self.loss, recipe, self.spec.task)
        rates = make_frame_schedule(recipe, self.options, steps=self.steps, steps_per_epoch=self.loader.steps_per_epoch)
        return TrainStep(
            wrapped,
            adamw(self.model, config),
            rates,
            forward,
            clip_norm=recipe.clip_norm,
            scaler=torch.amp.GradScaler("cpu", enabled=False),
        )

    def selection(self, out: Path) -> FrameSelection:
        """Return the best epochs in a run's folder."""
        return FrameSelection(out, self.spec.task, self.recipe.patience, self.every)

    def evaluate(self) -> dict[str, float]:
        """Return the scores of all validation frames together, each as `report-frames` scores it.

        Collective: each process predicts its share.
        """
        predicted = self._predict(range(self.context.rank, len(self.validation), self.context.size))
        if self.context.size > 1:
            shares: list[dict[int, ScoredFrames]] = [{}] * self.context.size
            dist.all_gather_object(shares, predicted)
            predicted = {number: scored for share in shares for number, scored in share.items()}
        scored = join_scored([predicted[number] for number in range(len(self.validation))])
        if self.context.rank == 0 and (diverged := describe_nonfinite(scored.predicted_NO)):
            log.warning("no score: %s of validation", diverged)
        return score_frames(self.spec.task, scored.truth_NK, scored.predicted_NO, self.options)

    def explain_missing_score(self) -> str:
        """Return why the validation frames have no score by the weights as they are; not collective."""
        predicted = self._predict(range(len(self.validation)))
        scored = join_scored(list(predicted.values()))
        return explain_undefined(self.spec.task, scored.truth_NK, scored.predicted_NO)

    def _predict(self, numbers: range) -> dict[int, ScoredFrames]:
        self.model.eval()
        try:
            return {number: self.validation.predict(self.model, number) for number in numbers}
        finally:
            self.model.train()

    def train(self, trainer: Trainer[WindowBatch], out: Path) -> bool:
        """Train from the newest checkpoint on; return False where a signal stopped the run before its end."""
        recipe, selection = self.recipe, self.selection(out)
        start = trainer.resume(None)
        metrics = board = None
        if self.context.rank == 0:
            metrics = MetricsWriter(out, start, self.steps)
            metrics.begin(self._title())
            board = TensorBoardLogger(out, start, recipe.wandb, recipe.frozen())

        def evaluate(step: int) -> tuple[dict[str, float], None]:
            scores = self.evaluate()
            decide_on_rank_0(lambda: selection.keep(step, scores, self.model.save))
            return scores, None

        def is_over(step: int) -> bool:
            # All processes ask at the same steps, and rank 0 alone reads what it wrote.
            return step % self.every == 0 and decide_on_rank_0(lambda: selection.is_over(step))

        parameters = sum(each.numel() for each in self.model.parameters())
        cost = StepCost(
            clips=recipe.batch,
            flops=6.0 * parameters * recipe.batch * recipe.window,
            peak=NO_PEAK,
            devices=self.context.size,
        )
        reporter = ProgressReporter(
            metrics, board, cost, log_every=recipe.log_every, evaluate=evaluate, eval_every=self.every
        )

        def diverged(step: int, batches: object) -> UserError:
            return UserError(
                f"{out}: {recipe.nonfinite_limit} steps in a row have no finite loss, up to step {step}: the training "
                f"has diverged; {DIVERGED_REMEDY}"
            )

        lengths = RunLengths(
            steps=self.steps,
            accumulation=1,
            checkpoint_every=self.every,
            nonfinite_limit=recipe.nonfinite_limit,
            is_over=is_over,
        )
        try:
            reached = trainer.train(start, lengths, reporter, diverged)
        finally:
            reporter.close()
        return reached >= self.steps or is_over(reached)

    def _title(self) -> str:
        parameters = sum(each.numel() for each in self.model.parameters())
        hard = self.loader.describe_hard() if isinstance(self.loader, HardClipLoader) else ""
        data = f"{count_noun(len(self.loader), 'window')}{hard}, {count_noun(len(self.validation), 'validation video')}"
        lengths = f"{count_noun(self.steps, 'step')}, {self.loader.steps_per_epoch} per epoch"
        return f"{self.spec.task.name}: {data}; {self.recipe.model} of {parameters:,} parameters; {lengths}"
