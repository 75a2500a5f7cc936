"""Results of a finished run: predictions for every test clip, and scores by protocol with intervals over people."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from avf_shards.errors import FaultError, UserError
from avf_shards.schema.versions import read_json, stamp
from avf_shards.system import durable_io

from avf_training.config.finetune import FinetuneRecipe
from avf_training.distributed.context import DistributedContext
from avf_training.evaluation.file_windows import FileWindows
from avf_training.evaluation.intervals import group_rows, metric_interval
from avf_training.evaluation.multi_view import ViewConfig, predict_clips, predict_hops
from avf_training.evaluation.scoring import Predictions, TimedScore, score_predictions
from avf_training.models.classifier import Classifier
from avf_training.tasks.task import Task

PREDICTIONS = "predictions"


def predict_keys(
    model: Classifier,
    recipe: FinetuneRecipe,
    task: Task,
    keys: tuple[str, ...],
    *,
    segments: int,
    context: DistributedContext,
) -> Predictions:
    """Return predictions for clips of a task from `segments` windows each, averaged over groups as the data set asks.

    In detection they are of files, from windows that are `hop_s` of the recipe apart, pooled as the model says; there
    `segments` counts for nothing. Collective: all ranks must call it.
    """
    if task.data.task == "detection":
        return predict_files(model, recipe, task, keys, context).pooled(model.output_spec.pool)
    predictions = predict_clips(model, task, keys, _view_config(recipe, segments), context)
    return predictions.average_groups(task.group_of) if task.group_of else predictions


def predict_files(
    model: Classifier, recipe: FinetuneRecipe, task: Task, keys: tuple[str, ...], context: DistributedContext
) -> FileWindows:
    """Return what a detector says of each window of the files of clips. Collective: all ranks must call it."""
    return predict_hops(model, task, keys, _view_config(recipe, 1, recipe.hop_s), context)


def _view_config(recipe: FinetuneRecipe, segments: int, hop_s: float | None = None) -> ViewConfig:
    config = recipe.model_config()
    return ViewConfig(
        geometry=config.geometry,
        modalities=config.modalities,
        precision=recipe.precision,
        segments=segments,
        hop_s=hop_s,
        workers=recipe.workers,
    )


def scores_as_dict(task: Task, predictions: Predictions) -> dict[str, Any]:
    """Return scores, their intervals, the number of people (or sessions) and the unreadable clips for result.json."""
    scores, unit_of = {}, task.shards.units(task.data)
    for name, score in score_predictions(task.data, predictions).items():
        interval = metric_interval(task.data, predictions, name, unit_of) if name in task.data.metrics else None
        bounds = None if interval is None else interval.as_list()
        scores[name] = {"value": score.value, "undefined": score.undefined, "interval": bounds}
    people = len(group_rows(predictions, unit_of))
    return {"scores": scores, "people": people, "unreadable": list(predictions.unreadable)}


def write_predictions(path: Path, task: Task, predictions: Predictions) -> None:
    """Write predictions as JSON: names of the outputs, keys, truth, scores, unreadable clips, windows of detection."""
    durable_io.make_folder(path.parent)
    values = {
        "names": list(task.data.labels or task.data.dimensions),
        "keys": list(predictions.keys),
        "truth": predictions.truth.tolist(),
        "scores": predictions.scores_NJ.tolist(),
        "unreadable": list(predictions.unreadable),
    }
    if predictions.windows:
        values["windows"] = {
            key: [[window.start_s, window.score] for window in windows] for key, windows in predictions.windows.items()
        }
    durable_io.replace_file(path, (json.dumps(stamp(values, "predictions")) + "\n").encode())


def read_predictions(path: Path) -> Predictions:
    """Return the predictions that `write_predictions` wrote. Raises UserError, FaultError for damage."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; only a finished fine-tuning run has its predictions")
    values = read_json(path, "predictions")
    try:
        return Predictions(
            keys=tuple(values["keys"]),
            truth=np.array(values["truth"], float),
            scores_NJ=np.array(values["scores"], float),
            unreadable=tuple(values["unreadable"]),
            windows={
                key: tuple(TimedScore(start_s=float(start_s), score=float(score)) for start_s, score in windows)
                for key, windows in values.get("windows", {}).items()
            },
        )
    except (KeyError, TypeError, ValueError) as error:
        raise FaultError(f"{path}: not readable as predictions ({error})") from None
