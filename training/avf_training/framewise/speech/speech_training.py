"""Training of an acoustic model on voice windows, on the loop of the other stages: the stage on one screen.

A run that was killed goes on from its newest checkpoint with the same call, and ends with the same bits.
"""

import json
import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from avf_shards.errors import UserError
from avf_shards.schema.fields import Fields
from avf_shards.schema.versions import stamp
from avf_shards.system import durable_io
from avf_shards.text import count_noun

from avf_training.config.hints import log_few_steps
from avf_training.distributed.collectives import process_group
from avf_training.distributed.environment import refuse_several_processes
from avf_training.framewise.json_records import add_remedy, read_json_record
from avf_training.framewise.labels.trained_videos import TrainedVideos, copy_trained_videos
from avf_training.framewise.metrics import EXPRESSIONS
from avf_training.framewise.models.speech_encoder import PDEM, SpeechModel
from avf_training.framewise.protocol import list_differences
from avf_training.framewise.speech.speech_batches import SpeechBatch, SpeechLoader
from avf_training.framewise.speech.speech_files import make_speech_model, save_speech_model
from avf_training.framewise.speech.speech_objective import (
    SCORE,
    has_finite_outputs,
    score_windows,
    set_training,
    speech_forward,
)
from avf_training.framewise.speech.speech_recipe import FREE, SpeechRecipe
from avf_training.framewise.speech.voice_windows import VoiceData, VoiceSets, list_voice_windows
from avf_training.framewise.speech.wave_store import WaveStore
from avf_training.framewise.tracks.extractor import digest_weights
from avf_training.framewise.tracks.frame_rates import warn_of_rates_together
from avf_training.framewise.tracks.speech_extractors import read_speech_config
from avf_training.models.flops import NO_PEAK
from avf_training.trainer.checkpoint import Checkpoints
from avf_training.trainer.early_end import EarlyEnd
from avf_training.trainer.learning_curve import draw_learning_curve
from avf_training.trainer.metrics_writer import EVALUATION, MetricsWriter, read_lines
from avf_training.trainer.optim_config import OptimConfig
from avf_training.trainer.optimizer import Schedule, adamw
from avf_training.trainer.progress import ProgressReporter, StepCost
from avf_training.trainer.run_folder import RESULT, exclusive_lock, freeze_identity
from avf_training.trainer.tensorboard import TensorBoardLogger
from avf_training.trainer.train_step import TrainStep
from avf_training.trainer.trainer import RunLengths, Trainer

_REMEDY = "where RUN is one of train-speech, remove this file and run the same command again, which writes it anew"
_DIVERGED_REMEDY = "take a lower rate or a smaller clip_norm, in another folder"
SCORES = ("mean CCC", "macro F1")  # of results, by what the run learns
STAGE = "train-speech"  # in run.json, and the command that made the run
BEST, WAVES = "best", "waves"


@dataclass(frozen=True, kw_only=True)
class SpeechTrainingData:
    """What a run reads."""

    voice: VoiceData
    encoder: Path  # weights of the speech encoder, a file or folder of Hugging Face
    decode: Callable[[Path], npt.NDArray[np.float32]]  # a file to 16 kHz mono in -1..1
    separator: str = ""  # command and version that `decode` ran; empty: none


def run_speech_training(
    recipe: SpeechRecipe,
    data: SpeechTrainingData,
    out: Path,
    *,
    device: str = "cpu",
    on_file: Callable[[int, int], None] = lambda number, files: None,
) -> Path | None:
    """Train to the last step, or until scores stop to rise; return RUN/result.json, None where a signal stopped it.

    Raises UserError, FaultError.

    Args:
        on_file: called with the number of the next file that is decoded, and the number of files.
    """
    refuse_several_processes(STAGE)
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    torch.set_float32_matmul_precision("highest")
    with warn_of_rates_together():
        sets = list_voice_windows(
            data.voice, recipe.label_tasks, clock=recipe.options.audio_clock, skips=recipe.missing == "skip"
        )
    torch.manual_seed(recipe.seed)
    model = make_speech_model(recipe, data.encoder)  # refuses weights that do not fit, before a folder is made
    with process_group(device) as context, ExitStack() as until_done:
        lock = until_done.enter_context(exclusive_lock(out))
        identity = {
            "stage": STAGE,
            "recipe": recipe.frozen(),
            "encoder": digest_weights(data.encoder),
            "windows": sets.digest(),
            "separator": data.separator,
        }
        freeze_identity(out, identity, 0, FREE)
        TrainedVideos(train_on="train").add(sets.trained).write(out)
        if (out / RESULT).is_file():  # written last, so the run is finished
            return out / RESULT
        waves = WaveStore(out / WAVES, [each.file for each in (*sets.training, *sets.validation)])
        waves.decode(data.decode, on_file)
        run = SpeechRun(recipe, sets, waves, data.encoder, model.to(context.device))
        checkpoints = Checkpoints(out, recipe.checkpoint_keep, 0, lock)
        trainer = Trainer(
            model=run.model,
            train_step=run.train_step(),
            loader=run.loader,
            checkpoints=checkpoints,
            context=context,
        )
        if not run.train(trainer, out):
            return None
        draw_learning_curve(out)
        return run.write_result(out, sets)


class SpeechRun:
    """The model, windows and loss of a run."""

    def __init__(
        self, recipe: SpeechRecipe, sets: VoiceSets, waves: WaveStore, encoder: Path, model: SpeechModel
    ) -> None:
        """Take the model, and cut its windows into batches. Raises UserError for a config.json that is none."""
        self.recipe, self.options = recipe, recipe.options
        self.config = read_speech_config(encoder, PDEM)
        self.model, device = model, next(model.parameters()).device
        self.loader = SpeechLoader(sets.training, waves, batch=recipe.batch, seed=recipe.seed, augment=recipe.augment)
        size = min(recipe.batch, len(sets.validation))
        self.validation = SpeechLoader(sets.validation, waves, batch=size, seed=0, augment=False)
        self.loader.device = self.validation.device = device
        labels = [each.expressions_W for each in sets.training if each.expressions_W is not None]
        counts = (
            np.bincount(np.concatenate(labels), minlength=len(EXPRESSIONS)) if labels else np.ones(len(EXPRESSIONS))
        )
        self.forward = speech_forward(recipe, torch.from_numpy(counts))
        self.steps = recipe.steps or recipe.epochs * self.loader.steps_per_epoch
        self.every = min(self.steps, self.loader.steps_per_epoch * recipe.evaluate_every)
        if recipe.steps is None:
            per_epoch, windows = self.loader.steps_per_epoch, len(sets.training)
            log_few_steps(recipe.epochs, self.steps, per_epoch=per_epoch, items=windows, noun="voice window")
        set_training(self.model, recipe.open_layers)

    def train_step(self) -> TrainStep[SpeechBatch]:
        """Return the optimizer step: Adam with a constant rate."""
        rate = self.options.audio_rate if self.recipe.rate is None else self.recipe.rate
        config = OptimConfig(
            base_lr=rate,
            min_lr=rate,
            betas=(0.9, 0.999),
            weight_decay=0.0,
            warmup_epochs=0,
            clip_norm=self.recipe.clip_norm,
        )
        return TrainStep(
            self.model,
            adamw(self.model, config),
            Schedule(peak=rate, end=rate, warmup_steps=0, steps=self.steps),
            self.forward,
            clip_norm=self.recipe.clip_norm,
            scaler=torch.amp.GradScaler("cpu", enabled=False),
        )

    def train(self, trainer: Trainer[SpeechBatch], out: Path) -> bool:
        """Train from the newest checkpoint on; return False where a signal stopped the run before its end."""
        start = trainer.resume(None)
        metrics = MetricsWriter(out, start, self.steps)
        metrics.begin(self._title())
        board = TensorBoardLogger(out, start, self.recipe.wandb, self.recipe.frozen())

        def evaluate(step: int) -> tuple[dict[str, float], None]:
            scores = self.evaluate()
            self._keep_best(out, step, scores[SCORE])
            return scores, None

        cost = StepCost(clips=self.recipe.batch, flops=0.0, peak=NO_PEAK, devices=1, noun="window")
        reporter = ProgressReporter(
            metrics, board, cost, log_every=self.recipe.log_every, evaluate=evaluate, eval_every=self.every
        )

        def diverged(step: int, batches: object) -> UserError:
            limit = self.recipe.nonfinite_limit
            return UserError(
                f"{out}: {limit} steps in a row have no finite loss, up to step {step}: the training has diverged; "
                f"{_DIVERGED_REMEDY}"
            )

        early_end = EarlyEnd(
            metric=f"validation {SCORE}",
            patience=self.recipe.patience,
            every=self.every,
            read_scores=lambda: {row["step"]: row.get(SCORE) for row in read_lines(out / EVALUATION)},
        )
        lengths = RunLengths(
            steps=self.steps,
            accumulation=1,
            checkpoint_every=self.every,
            nonfinite_limit=self.recipe.nonfinite_limit,
            is_over=early_end.is_over,
        )
        try:
            reached = trainer.train(start, lengths, reporter, diverged)
        finally:
            reporter.close()
        return reached >= self.steps or early_end.is_over(reached)

    def evaluate(self) -> dict[str, float]:
        """Return the scores of the validation windows."""
        self.model.eval()
        try:
            return score_windows(self.model, self.validation, self.options)
        finally:
            set_training(self.model, self.recipe.open_layers)

    def write_result(self, out: Path, sets: VoiceSets) -> Path:
        """Write RUN/result.json, and return its path. Raises UserError where no epoch has a score."""
        best = _best_row(out)
        if best is None:
            reason = "labels of validation are constant, or there is none"
            if not has_finite_outputs(self.model.eval(), self.validation):
                reason = f"predictions are nan or infinite, so the training has diverged; {_DIVERGED_REMEDY}"
            raise UserError(f"{out}: no epoch has a validation score: {reason}")
        _remove_others(out / BEST, best)
        copy_trained_videos(out, out / BEST / _folder_name(best["step"]))
        differences = [
            {"number": line.source.number, "option": line.option, "value": line.value, "chosen": line.chosen}
            for line in list_differences(self.options)
        ]
        result = {
            "task": self.recipe.task,
            "version": self.recipe.version,
            "protocol": self.recipe.protocol,
            "differences": differences,
            "windows": {"training": len(sets.training), "validation": len(sets.validation)},
            "skipped": list(sets.skipped),
            "best": {**best, "folder": f"{BEST}/{_folder_name(best['step'])}"},
        }
        text = json.dumps(stamp(result, "speech result"), indent=1, sort_keys=True) + "\n"
        durable_io.replace_file(out / RESULT, text.encode())
        return out / RESULT

    def _keep_best(self, out: Path, step: int, score: float) -> None:
        """Save the model where its score is the best until now.

        Its row is written after it: a model without a row, as a killed run leaves it, is replaced when the step is
        scored again.
        """
        before = _best_row(out, step)
        folder = out / BEST
        _remove_others(folder, before)
        if math.isfinite(score) and (before is None or score > before[SCORE]):
            durable_io.make_folder(folder)
            save_speech_model(folder / _folder_name(step), self.model, self.config, self.recipe)

    def _title(self) -> str:
        learned = sum(each.numel() for each in self.model.parameters() if each.requires_grad)
        data = f"{count_noun(len(self.loader), 'window')}, {len(self.validation):,} for validation"
        lengths = f"{count_noun(self.steps, 'step')}, {self.loader.steps_per_epoch} per epoch"
        return f"{self.recipe.task}: {data}; {self.recipe.version}, {learned:,} parameters learn; {lengths}"


def read_speech_result(run: Path) -> dict[str, Any]:
    """Return RUN/result.json. Raises UserError where it is damaged or of another command."""
    path = run / RESULT
    result = read_json_record(path, "speech result", _REMEDY)
    with add_remedy(path, _REMEDY):
        fields = Fields.from_value(result, str(path))
        for name in ("task", "version", "protocol"):
            fields.text(name)
        fields.text_list("skipped")
        best = fields.table("best")
        best.integer("step")
        best.text("folder")
        for name in SCORES:
            best.optional_number(name)
    return result


def _best_row(out: Path, before: int | None = None) -> dict[str, Any] | None:
    """Return the evaluation with the best score, the first of equals, of all or of those before a step."""
    rows = [row for row in read_lines(out / EVALUATION) if before is None or row["step"] < before]
    scored = [row for row in rows if row.get(SCORE) is not None]
    return max(scored, key=lambda row: (row[SCORE], -row["step"])) if scored else None


def _remove_others(folder: Path, best: dict[str, Any] | None) -> None:
    """Remove the models in a folder but that of an evaluation."""
    for path in folder.glob("step-*"):
        if best is None or path.name != _folder_name(best["step"]):
            durable_io.remove(path)


def _folder_name(step: int) -> str:
    return f"step-{step + 1:08d}"
