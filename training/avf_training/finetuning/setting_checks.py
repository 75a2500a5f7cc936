"""Settings of fine-tuning that a task, a model or a run in progress cannot follow, refused in words."""

from avf_shards.errors import UserError

from avf_training.config.finetune import DETECTION_SETTINGS, FinetuneRecipe, changed_settings
from avf_training.evaluation.scoring import metric_names
from avf_training.tasks.task import Task


def refuse_settings(recipe: FinetuneRecipe, task: Task) -> None:
    """Raise UserError where a setting needs what the task or the model does not have."""
    layers = 1 + sum(layer_depths(recipe).values())
    if recipe.frozen_layers > layers:
        raise UserError(
            f"frozen_layers {recipe.frozen_layers}: this model has {layers} layers, with the embedding; "
            "take at most that"
        )
    if recipe.patience is not None and not task.validation:
        raise UserError(
            f"{task.name}: patience needs validation clips, and no clip of the training fold can be spared for them; "
            "leave the setting patience out"
        )
    metrics = metric_names(task.data)
    if (metric := recipe.selection_metric(task.data)) not in metrics:
        raise UserError(f"select_by {metric}: {task.name} is not scored by it; take one of {', '.join(metrics)}")
    _refuse_detection_settings(recipe, task)
    if recipe.imbalance.any and not task.is_classification:
        raise UserError(
            f"{task.name}: imbalance is for classes, and {', '.join(task.data.dimensions)} are dimensions; "
            "leave the settings imbalance out"
        )


def _refuse_detection_settings(recipe: FinetuneRecipe, task: Task) -> None:
    """Raise UserError where another task than detection has its settings, or a way to pool cannot be chosen."""
    if task.data.task != "detection":
        if changed := changed_settings(recipe, DETECTION_SETTINGS):
            raise UserError(f"{task.name}: {changed[0]} is for detection of fakes; leave the setting out")
        return
    if recipe.pool == "choose" and not task.validation:
        raise UserError(
            f"{task.name}: has no validation clips to choose how windows are pooled; set validation_share above 0, or "
            "pool to mean, max, top2 or noisy_or"
        )


def refuse_other_moments(recipe: FinetuneRecipe, task: Task, first: int) -> None:
    """Raise UserError where the loss takes its moments over other clips than at the first start of the run.

    Args:
        first: micro-batch of that start.
    """
    if recipe.regression == "ccc" and not task.is_classification and recipe.micro_batch != first:
        raise UserError(
            f"in this run the loss (regression: ccc) compares {first} clips at once, so a micro_batch of "
            f"{recipe.micro_batch} would change it; take micro_batch={first}, or "
            "`--set activation_checkpointing=true` to need less memory"
        )


def layer_depths(recipe: FinetuneRecipe) -> dict[str, int]:
    """Return the blocks of an encoder (`depth`) and of the fusion (`fusion`)."""
    config = recipe.model_config()
    depth = (config.video if "v" in config.modalities else config.audio).depth
    fused = config.modalities == "av" and recipe.head == "linear"
    return {"depth": depth, "fusion": config.fusion_depth if fused else 0}
