"""A finished run tested again, from its folder and its shards alone."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError

from avf_training.config.finetune import FinetuneRecipe, recipe_from_frozen
from avf_training.distributed.collectives import process_group
from avf_training.evaluation.results import PREDICTIONS, predict_test_clips, read_predictions, scores_as_dict
from avf_training.finetuning.finetune import load_best_model
from avf_training.finetuning.model_selection import Protocol
from avf_training.models.classifier import Classifier
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.tasks.task import Task, task_from_frozen
from avf_training.trainer.run_folder import RUN


def find_run(folder: Path) -> dict[str, Any]:
    """What a fine-tuning run's folder says it is. Raises UserError."""
    if not (folder / RUN).is_file():
        raise UserError(f"{folder}: holds no run (no {RUN}); avf-train finetune --out {folder} makes one")
    values: dict[str, Any] = json.loads((folder / RUN).read_text("utf-8"))
    if "data" not in values:
        raise UserError(f"{folder}: is a run of another stage; a fine-tuning run is asked for")
    return values


def load_run(folder: Path, shelf: LabelledShards) -> tuple[FinetuneRecipe, Task]:
    """A run's recipe and task, from its folder. Raises UserError for other shards than it was made on."""
    values = find_run(folder)
    if values["corpus"] != shelf.corpus.digest:
        raise UserError(f"{folder}: was made on other shards, or on the same in another order; give --shards as then")
    workers = min(4, (os.cpu_count() or 1) - 1)
    return replace(recipe_from_frozen(values["recipe"]), workers=workers), task_from_frozen(values, shelf)


def reevaluate_run(
    folder: Path, shelf: LabelledShards, protocol: Protocol, segments: int | None, device: str
) -> dict[str, Any]:
    """Scores of the model that a protocol chose. same: whether every answer is, bit for bit (None: other views)."""
    recipe, task = load_run(folder, shelf)
    if not task.test:
        raise UserError(f"{folder}: {task.name} has no test clips; it is a stage on the way")
    with process_group(device) as place:
        model = Classifier.from_pretrained(load_best_model(folder, protocol)).to(place.device)
        answers = predict_test_clips(model, recipe, task, task.test, segments=segments or recipe.segments, place=place)
    told = {"run": str(folder), "protocol": protocol, **scores_as_dict(task, answers)}
    if segments is not None and segments != recipe.segments:
        return told | {"same": None}
    _, before = read_predictions(folder / PREDICTIONS / f"{protocol}.json")
    same = before.keys == answers.keys and bool((before.scores_NJ == answers.scores_NJ).all())
    return told | {"same": same}
