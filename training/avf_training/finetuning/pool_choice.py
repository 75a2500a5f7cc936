"""The way to pool windows that suits a selected detector, chosen on its validation clips and saved with the model."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from avf_shards.system import durable_io

from avf_training.config.finetune import FinetuneRecipe
from avf_training.distributed.context import DistributedContext
from avf_training.evaluation.results import predict_files
from avf_training.models.classifier import Classifier
from avf_training.models.saved_config import CONFIG, read_saved_config
from avf_training.tasks.task import Task


def choose_pool(
    model: Classifier, folder: Path, recipe: FinetuneRecipe, task: Task, context: DistributedContext
) -> dict[str, Any]:
    """Choose how a saved detector pools windows, write it into its config and return the values for result.json.

    The model has it then, so that a test, and whoever predicts with it later, pools alike. Collective: all ranks must
    call it.
    """
    files = predict_files(model, recipe, task, task.validation, context)
    model.output_spec = replace(model.output_spec, pool=files.best_pool())
    if context.rank == 0:
        values = read_saved_config(folder) | model.init_arguments()
        durable_io.replace_file(folder / CONFIG, (json.dumps(values, indent=2) + "\n").encode())
    return {"chosen": model.output_spec.pool, "validation": files.score_pools()}
