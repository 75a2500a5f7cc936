"""Temperature scaling of the models that a run selects, on its validation clips; saved with each model."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError
from avf_shards.system import durable_io

from avf_training.config.finetune import FinetuneRecipe
from avf_training.distributed.collectives import decide_on_rank_0
from avf_training.distributed.context import DistributedContext
from avf_training.evaluation.calibration import describe_reliability, fit_temperature, temper
from avf_training.evaluation.results import predict_keys
from avf_training.models.classifier import Classifier
from avf_training.models.saved_config import CONFIG, read_saved_config
from avf_training.tasks.task import Task


def refuse_calibration(recipe: FinetuneRecipe, task: Task) -> None:
    """Raise UserError where a recipe calibrates a task without classes or without validation clips."""
    if not recipe.calibrate:
        return
    if not task.is_classification:
        raise UserError(f"{task.name}: has dimensions, and calibrate is for the probabilities of classes; leave it out")
    if task.data.task == "detection":
        raise UserError(
            f"{task.name}: calibrate is for a probability of each clip, and that of a file is pooled from its windows; "
            "leave it out"
        )
    if not task.validation:
        raise UserError(f"{task.name}: has no validation clips to calibrate on; leave calibrate out")


def set_temperature(model: Classifier, temperature: float) -> None:
    """Let a model divide its logits by a temperature."""
    model.output_spec = replace(model.output_spec, temperature=temperature)


def calibrate_model(
    model: Classifier, folder: Path, recipe: FinetuneRecipe, task: Task, context: DistributedContext
) -> dict[str, Any]:
    """Fit the temperature of a saved model, write it into its config and return the values for result.json.

    The model has it then; it keeps 1 where the validation clips determine none. Collective: all ranks must call it.
    """
    set_temperature(model, 1.0)  # an earlier start may have saved one and been stopped during the test
    # Single views of single clips, as `predict` sees windows: means of several have no logits.
    clips = replace(task, group_of={})
    before = predict_keys(model, recipe, clips, task.validation, segments=1, context=context)
    fitted = decide_on_rank_0(lambda: fit_temperature(before))
    temperature = 1.0 if fitted is None else fitted
    set_temperature(model, temperature)
    if context.rank == 0:
        values = read_saved_config(folder)
        values |= model.init_arguments()
        durable_io.replace_file(folder / CONFIG, (json.dumps(values, indent=2) + "\n").encode())
    after = replace(before, scores_NJ=temper(before.scores_NJ, temperature))
    reliability = {"before": describe_reliability(before), "after": describe_reliability(after)}
    return {"temperature": temperature, "determined": fitted is not None, "validation": reliability}
