"""Model selection after every epoch under three protocols, side by side.

`validation` (the default) selects the epoch with the best score on a part of the training fold. `test_best` selects it
on the test clips themselves, as the published numbers were: it is optimistic and only serves the comparison with them.
`last` takes the last epoch. All three are reported, because only `validation` is fair, only `test_best` compares with
the papers, and `last` shows how much the selection matters.
"""

import json
import logging
from collections.abc import Container, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from avf_shards.schema.fields import Fields
from avf_shards.schema.versions import parse_json, stamp
from avf_shards.system import durable_io
from torch import Tensor

from avf_training.config.finetune import FinetuneRecipe, SelectionProtocol
from avf_training.distributed.collectives import decide_on_rank_0
from avf_training.distributed.context import DistributedContext
from avf_training.evaluation.results import predict_files, predict_keys
from avf_training.evaluation.scoring import Predictions, score_predictions
from avf_training.finetuning.adapters import tensors_to_save
from avf_training.models.classifier import Classifier
from avf_training.tasks.task import Task
from avf_training.trainer.early_end import EarlyEnd
from avf_training.trainer.weight_average import AveragingAdamW

log = logging.getLogger(__name__)

VALIDATION, BEST = "validation.jsonl", "best"
NEXT_BEST = "best.next"  # models that are better than those in RUN/best, until their row is written


@dataclass(frozen=True, kw_only=True)
class EpochScores:
    """One row of RUN/validation.jsonl: the scores of the model after an epoch."""

    step: int  # last optimizer step of the epoch, from 0
    epoch: float  # number of epochs that are finished
    scores: Mapping[str, Mapping[str, float | None]]  # protocol -> metric -> score; None where it is undefined

    def score(self, protocol: SelectionProtocol, metric: str) -> float | None:
        """Return a score; None where it is undefined or the protocol has no clips."""
        return self.scores.get(protocol, {}).get(metric)

    def to_json(self) -> str:
        """Return the row as one line without its line break."""
        return json.dumps(stamp(asdict(self), "validation scores"))

    @classmethod
    def from_json(cls, line: str, where: str) -> "EpochScores":
        """Return the row in a line. Raises UserError for a newer version, FaultError for any other damage."""
        fields = Fields(parse_json(line, "validation scores", where), where)
        scores = fields.table("scores")
        return cls(
            step=fields.integer("step"),
            epoch=fields.number("epoch"),
            scores={protocol: dict(scores.table(protocol).values) for protocol in scores.values},
        )


class BestCheckpointTracker:
    """Scores a model after each epoch and keeps the best model of each protocol."""

    def __init__(
        self,
        recipe: FinetuneRecipe,
        task: Task,
        model: Classifier,
        out: Path,
        *,
        context: DistributedContext,
        every: int,
    ) -> None:
        self.recipe, self.task, self.model, self.out, self.context = recipe, task, model, out, context
        self.every = every  # steps between two evaluations
        self.average: AveragingAdamW | None = None  # set: its average is scored and kept, not the weights as they are
        self.metric = recipe.selection_metric(task.data)
        self._early_end = end_by_validation(out, self.metric, recipe.patience, every)
        self.parts: dict[SelectionProtocol, tuple[str, ...]] = {"validation": task.validation}
        if recipe.score_test:
            self.parts["test_best"] = task.test
        decide_on_rank_0(self._publish_models)  # of an earlier start that was stopped between a row and its models

    def is_over(self, step: int) -> bool:
        """Return whether a run ends before a step, because its validation scores have stopped to rise. Collective."""
        return self._early_end.is_over(step)

    def after_epoch(self, step: int) -> tuple[dict[str, float], Path | None]:
        """Score one view of each clip, append the scores to RUN/validation.jsonl and keep the model where it is best.

        A step that an earlier start of the run has scored keeps its scores: RUN/best has the models that they are of,
        and in another world, or on a GPU, the model of the step would be another by a little. Return the selecting
        metric of each protocol and no figure. Collective: all ranks must call it.
        """
        rows = decide_on_rank_0(lambda: read_validation(self.out))
        earlier = next((row for row in rows if row.step == step), None)
        if earlier is not None:
            scored = [protocol for protocol, keys in self.parts.items() if keys]
            return {f"{name} {self.metric}": _number(earlier.score(name, self.metric)) for name in scored}, None
        with self.average.averaged() if self.average is not None else nullcontext():
            return self._score_epoch(step, rows)

    def _score_epoch(self, step: int, rows: Sequence[EpochScores]) -> tuple[dict[str, float], Path | None]:
        epoch = (step + 1) // self.every * self.recipe.evaluate_every
        reported: dict[str, float] = {}
        scores: dict[str, dict[str, float | None]] = {}
        tensors: dict[str, Tensor] | None = None
        for protocol, keys in self.parts.items():
            if not keys:
                continue
            predictions = self._predict(keys)
            computed = score_predictions(self.task.data, predictions)
            scores[protocol] = {name: score.value for name, score in computed.items()}
            value = scores[protocol][self.metric]
            reported[f"{protocol} {self.metric}"] = _number(value)
            best = select_epoch(rows, protocol, self.metric)
            if value is not None and (best is None or value > best[1]):
                tensors = tensors_to_save(self.model, self.recipe.lora) if tensors is None else tensors
                self._save(protocol, step, tensors)
                log.info("epoch %g: best %s %.2f %% of protocol %s so far", epoch, self.metric, 100 * value, protocol)
        if self.context.rank == 0:
            row = EpochScores(step=step, epoch=epoch, scores=scores)
            write_validation(self.out, (*rows, row))
        decide_on_rank_0(self._publish_models)
        return reported, None

    def _predict(self, keys: tuple[str, ...]) -> Predictions:
        # One view of each clip: an evaluation after every epoch must be cheap. The final test takes all views.
        if self.task.data.task == "detection" and self.recipe.pool == "choose":
            files = predict_files(self.model, self.recipe, self.task, keys, self.context)
            return files.pooled(files.best_pool())
        return predict_keys(self.model, self.recipe, self.task, keys, segments=1, context=self.context)

    def _save(self, protocol: SelectionProtocol, step: int, tensors: dict[str, Tensor]) -> None:
        if self.context.rank == 0:
            self.model.save_pretrained(stage_best_model(self.out, protocol, step), tensors)

    def _publish_models(self) -> None:
        publish_best_models(self.out, self.parts)


def stage_best_model(out: Path, protocol: str, step: int) -> Path:
    """Return the folder to write the model of `step` to until its row is written, without an earlier one."""
    folder = out / NEXT_BEST / f"{protocol}-{step}"
    durable_io.remove(folder)
    return folder


def write_validation(out: Path, rows: Sequence[EpochScores]) -> None:
    """Write RUN/validation.jsonl with all rows."""
    durable_io.replace_file(out / VALIDATION, "".join(f"{each.to_json()}\n" for each in rows).encode())


def publish_best_models(out: Path, protocols: Container[str]) -> None:
    """Move the models whose rows are written into RUN/best, and remove those without a row.

    The row comes first: a step without one is scored again, perhaps lower, and the best model until then is needed.
    """
    if not (out / NEXT_BEST).is_dir():
        return
    steps = {row.step for row in read_validation(out)}
    for folder in sorted((out / NEXT_BEST).iterdir()):
        protocol, _, step = folder.name.rpartition("-")
        if protocol in protocols and step.isdigit() and int(step) in steps:
            durable_io.make_folder(out / BEST)
            durable_io.remove(out / BEST / protocol)
            durable_io.publish_folder(folder, out / BEST / protocol)
    durable_io.remove(out / NEXT_BEST)


def _number(score: float | None) -> float:
    return float("nan") if score is None else score


def read_validation(run: Path) -> list[EpochScores]:
    """Return the rows of RUN/validation.jsonl, none where the file is missing. Raises UserError, FaultError."""
    path = run / VALIDATION
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    return [EpochScores.from_json(line, f"{path}: line {number}") for number, line in enumerate(lines, 1)]


def end_by_validation(run: Path, metric: str, patience: int | None, every: int) -> EarlyEnd:
    """Return the early end of a run by a metric of its validation part; `every`: steps between two evaluations."""

    def read_scores() -> dict[int, float | None]:
        rows = decide_on_rank_0(lambda: read_validation(run))
        return {row.step: row.score("validation", metric) for row in rows}

    return EarlyEnd(metric=f"validation {metric}", patience=patience, every=every, read_scores=read_scores)


def select_epoch(
    rows: Sequence[EpochScores], protocol: SelectionProtocol, metric: str, before: int | None = None
) -> tuple[int, float] | None:
    """Return (step, score) of the epoch that a protocol chooses: the highest score, the first of equals.

    Args:
        before: ignore rows of this step and of later ones.
    """
    candidates = [
        (row.step, score)
        for row in rows
        if (score := row.score(protocol, metric)) is not None and (before is None or row.step < before)
    ]
    return max(candidates, key=lambda pair: (pair[1], -pair[0])) if candidates else None
