"""Short runs of nano through the trainer, and what is read from them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from avf_training.config.pretrain import PretrainRecipe
from avf_training.trainer.metrics_writer import METRICS, read_lines

from benchmarks.gpu.results import PASSED, Row
from benchmarks.gpu.settings import Settings, recipe_for

_STEPS, TINY_STEPS = 24, 3  # of a run in full, and in a dry run


def nano_recipe(settings: Settings, **changes: Any) -> PretrainRecipe:
    """Return the recipe of nano for a short run in one process, with `changes`."""
    steps = TINY_STEPS if settings.tiny else _STEPS
    changes = {"steps": steps, "warmup_steps": 10, "workers": 0, "checkpoint_every": 1000, "eval_every": 0, **changes}
    return replace(recipe_for("nano", settings), **changes, log_every=1000, checkpoint_keep=10)


def read_losses(run_folder: Path) -> list[float]:
    """Return the loss of each step of a run."""
    return [row["loss"] for row in read_lines(run_folder / METRICS)]


def failure_row(label: Row, error: Exception) -> Row:
    """Return the row of a run that ended with an error."""
    return {**label, "error": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}", PASSED: False}
