"""What a finished run says: answers to every test clip, and scores by protocol with bootstrap intervals."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from avf_shards import durable_io
from avf_shards.errors import UserError

from avf_training.config.finetune import FinetuneRecipe
from avf_training.distributed.context import DistributedContext
from avf_training.evaluation.multi_view import ViewConfig, predict_clips
from avf_training.evaluation.scoring import Predictions, bootstrap_interval, score_predictions
from avf_training.models.classifier import Classifier
from avf_training.tasks.task import Task

RESULT, PREDICTIONS = "result.json", "predictions"


def predict_test_clips(
    model: Classifier,
    recipe: FinetuneRecipe,
    task: Task,
    keys: tuple[str, ...],
    *,
    segments: int,
    place: DistributedContext,
) -> Predictions:
    """A model's answers to some clips of its task, averaged as the data set asks."""
    config = recipe.model_config()
    views = ViewConfig(
        geometry=config.geometry,
        modalities=config.modalities,
        precision=recipe.precision,
        segments=segments,
        workers=recipe.workers,
    )
    found = predict_clips(model, task, keys, views, place)
    return found.grouped(task.group) if task.group else found


def scores_as_dict(task: Task, answers: Predictions) -> dict[str, Any]:
    """Scores and their intervals for a result; what is undefined says why."""
    scores, told = score_predictions(task.data, answers), {}
    for name, score in scores.items():
        between = bootstrap_interval(task.data, answers, name) if name in task.data.metrics else None
        bounds = None if between is None else [between.low, between.high]
        told[name] = {"value": score.value, "undefined": score.undefined, "interval": bounds}
    return {"scores": told, "unreadable": list(answers.unreadable)}


def write_predictions(path: Path, task: Task, answers: Predictions) -> None:
    """One table: keys, truth, scores."""
    durable_io.make_folder(path.parent)
    names = task.data.labels or task.data.dimensions
    values = {"names": list(names), "keys": list(answers.keys), "truth": answers.truth.tolist()}
    values |= {"scores": answers.scores_NJ.tolist(), "unreadable": list(answers.unreadable)}
    durable_io.replace_file(path, (json.dumps(values) + "\n").encode())


def read_predictions(path: Path) -> tuple[tuple[str, ...], Predictions]:
    """Names of the outputs, and the answers of `write_predictions`. Raises UserError."""
    if not path.is_file():
        raise UserError(f"{path}: is not there; a finished fine-tuning run has it")
    values = json.loads(path.read_text("utf-8"))
    scores = np.array(values["scores"], float)
    answers = Predictions(
        keys=tuple(values["keys"]),
        truth=np.array(values["truth"], float),
        scores_NJ=scores,
        unreadable=tuple(values["unreadable"]),
    )
    return tuple(values["names"]), answers


def describe_result(result: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(protocol, metric, value with interval) rows of a result."""
    rows = []
    for protocol, entry in result["protocols"].items():
        for name, score in entry.get("scores", {}).items():
            value = "undefined" if score["value"] is None else f"{score['value']:.4f}"
            bounds = score["interval"]
            rows.append((protocol, name, value + ("" if bounds is None else f"  [{bounds[0]:.4f}, {bounds[1]:.4f}]")))
    return rows
