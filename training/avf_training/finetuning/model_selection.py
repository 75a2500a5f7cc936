"""Which epoch a run's scores are of: three protocols, side by side, written down after each epoch.

`validation` (the default) chooses on a part of the training fold; `test_best` on the test clips themselves, as the
published numbers were chosen; `last` does not choose.
"""

import json
from pathlib import Path
from typing import Any, Literal

from avf_shards import durable_io
from torch import Tensor

from avf_training.config.finetune import FinetuneRecipe
from avf_training.distributed.context import DistributedContext
from avf_training.distributed.parallelize import full_state_dict
from avf_training.evaluation.results import predict_test_clips
from avf_training.evaluation.scoring import score_predictions
from avf_training.models.classifier import Classifier
from avf_training.tasks.task import Task

Protocol = Literal["validation", "test_best", "last"]
PROTOCOLS: tuple[Protocol, ...] = ("validation", "test_best", "last")
VALIDATION, BEST = "validation.jsonl", "best"


class BestCheckpointTracker:
    """Scores a model after each epoch and keeps the best by each protocol."""

    def __init__(
        self, recipe: FinetuneRecipe, task: Task, model: Classifier, out: Path, *, place: DistributedContext, every: int
    ) -> None:
        self.recipe, self.task, self.model, self.out, self.place, self.every = recipe, task, model, out, place, every
        self.metric = recipe.selection_metric(task.data)
        self.parts: dict[Protocol, tuple[str, ...]] = {"validation": task.validation, "test_best": task.test}

    def look(self, step: int) -> tuple[dict[str, float], Path | None]:
        """After an epoch: scores of one view a clip, written down; the model kept where it is the best so far."""
        epoch = (step + 1) // self.every * self.recipe.evaluate_every
        told: dict[str, float] = {}
        row: dict[str, Any] = {"step": step, "epoch": epoch}
        state: dict[str, Tensor] | None = None
        for protocol, keys in self.parts.items():
            if not keys:
                continue
            answers = predict_test_clips(self.model, self.recipe, self.task, keys, segments=1, place=self.place)
            found = {name: score.value for name, score in score_predictions(self.task.data, answers).items()}
            row[protocol] = found
            value = found[self.metric]
            told[f"{protocol} {self.metric}"] = float("nan") if value is None else value
            best = select_epoch(read_validation(self.out), protocol, self.metric, before=step)
            if value is not None and (best is None or value > best[1]):
                state = full_state_dict(self.model) if state is None else state
                if self.place.rank == 0:
                    folder = self.out / BEST / protocol
                    durable_io.remove(folder)
                    self.model.save_pretrained(folder, state)
        if self.place.rank == 0:
            rows = [kept for kept in read_validation(self.out) if kept["step"] < step]
            durable_io.replace_file(
                self.out / VALIDATION, "".join(json.dumps(one) + "\n" for one in [*rows, row]).encode()
            )
        return told, None


def read_validation(run: Path) -> list[dict[str, Any]]:
    """The rows of RUN/validation.jsonl."""
    path = run / VALIDATION
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []


def select_epoch(
    rows: list[dict[str, Any]], protocol: Protocol, metric: str, before: int | None = None
) -> tuple[int, float] | None:
    """(step, score) of the epoch that a protocol chooses: the highest score, the first of equals."""
    found = [
        (row["step"], row[protocol][metric])
        for row in rows
        if protocol in row and row[protocol][metric] is not None and (before is None or row["step"] < before)
    ]
    return max(found, key=lambda pair: (pair[1], -pair[0])) if found else None
