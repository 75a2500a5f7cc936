"""Evaluation of a finished fine-tuning run from its folder and its shards alone."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError

from avf_training.config.finetune import FinetuneRecipe, SelectionProtocol, identity_of_run, recipe_from_frozen
from avf_training.distributed.collectives import process_group
from avf_training.evaluation.results import PREDICTIONS, predict_keys, read_predictions, scores_as_dict
from avf_training.finetuning.finetune import load_best_model
from avf_training.models.classifier import Classifier
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.tasks.task import Task, task_from_frozen


def load_run(folder: Path, shards: LabelledShards) -> tuple[FinetuneRecipe, Task]:
    """Return the recipe and the task of a run. Raises UserError for other shards than the run was trained on."""
    values = identity_of_run(folder)
    if values["corpus"] != shards.corpus.digest:
        raise UserError(
            f"{folder}: was trained on other shards, or on the same in another order; give --shards as for the run"
        )
    # The number of workers is no part of a frozen recipe: it belongs to the machine.
    workers = min(4, (os.cpu_count() or 1) - 1)
    return replace(recipe_from_frozen(values["recipe"]), workers=workers), task_from_frozen(values, shards)


def reevaluate_run(
    folder: Path, shards: LabelledShards, protocol: SelectionProtocol, segments: int | None, device: str
) -> dict[str, Any]:
    """Test the model that a protocol selected and return its scores.

    `same` in the result says whether every prediction equals the run's bit for bit (None with other views).
    Raises UserError.

    Args:
        segments: windows of a clip; None takes the number of the recipe.
    """
    recipe, task = load_run(folder, shards)
    if not task.test:
        raise UserError(f"{folder}: {task.name} has no test clips; fine-tune from it and evaluate that run")
    if segments is not None and task.data.task == "detection":
        raise UserError(f"{folder}: {task.name} is scored from windows {recipe.hop_s:g} s apart; leave --segments out")
    with process_group(device) as context:
        model = Classifier.from_pretrained(load_best_model(folder, protocol)).to(context.device)
        views = segments or recipe.segments
        predictions = predict_keys(model, recipe, task, task.test, segments=views, context=context)
    result = {"run": str(folder), "protocol": protocol, **scores_as_dict(task, predictions)}
    if segments is not None and segments != recipe.segments:
        return result | {"same": None}
    recorded = read_predictions(folder / PREDICTIONS / f"{protocol}.json")
    same = recorded.keys == predictions.keys and bool((recorded.scores_NJ == predictions.scores_NJ).all())
    return result | {"same": same}
