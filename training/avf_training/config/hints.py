"""Hints about settings that are allowed and that can hardly be meant."""

import logging
import math
from typing import Protocol

from avf_shards.text import count_noun

from avf_training.models.config import Precision

_LOG = logging.getLogger(__name__)
_FEW_STEPS = 10  # a run that is shorter by its epochs can hardly be meant
_SHORT_RUN_STEPS = 100  # that are proposed in its place


class HintedRecipe(Protocol):
    """The settings of a recipe that hints are about."""

    @property
    def batch(self) -> int: ...
    @property
    def epochs(self) -> float: ...
    @property
    def steps(self) -> int | None: ...
    @property
    def precision(self) -> Precision: ...


def log_hints(
    recipe: HintedRecipe, *, clips: int, steps: int, warmup_steps: int, device_type: str, noun: str = "clip"
) -> None:
    """Log a warning for each setting of a recipe that can hardly be meant. Arguments as of `recipe_hints`."""
    if recipe.steps is None:
        log_few_steps(recipe.epochs, steps, per_epoch=clips / recipe.batch, items=clips, noun=noun)
    for hint in recipe_hints(
        batch=recipe.batch,
        clips=clips,
        lengths=(steps, warmup_steps),
        precision=recipe.precision,
        device_type=device_type,
        noun=noun,
    ):
        _LOG.warning("%s", hint)


def log_few_steps(epochs: float, steps: int, *, per_epoch: float, items: int, noun: str) -> None:
    """Log a warning where the epochs of a run make so few steps that next to nothing is learned.

    Args:
        epochs: of the run.
        steps: of the run, from the first to the last.
        per_epoch: steps of an epoch.
        items: of an epoch.
        noun: what an item is.
    """
    if steps < _FEW_STEPS:
        _LOG.warning(
            "the whole run is %s, for epochs is %g and there are %s to train on: it learns next to nothing; "
            "--set epochs=%d makes %d steps, and a smaller batch makes more of each epoch",
            *(count_noun(steps, "step"), epochs, count_noun(items, noun)),
            *(math.ceil(_SHORT_RUN_STEPS / per_epoch), _SHORT_RUN_STEPS),
        )


def recipe_hints(
    *,
    batch: int,
    clips: int,
    lengths: tuple[int, int],
    precision: Precision,
    device_type: str,
    noun: str = "clip",
) -> list[str]:
    """Return a sentence for each setting of a run that can hardly be meant, with the setting to change.

    Args:
        batch: clips of one step of all ranks.
        clips: clips of one epoch.
        lengths: steps of the run, and those of them in which the learning rate rises.
        device_type: cpu or cuda.
        noun: what `clips` counts.
    """
    hints = []
    steps, warmup_steps = lengths
    if batch >= 2 * clips:
        hints.append(
            f"batch {batch} takes the {count_noun(clips, noun)} of an epoch more than once in each step; "
            f"a smaller batch fits these shards, as in --set batch={_power_of_two(clips)} "
            f"--set micro_batch={min(8, _power_of_two(clips))}"
        )
    if precision.compute != "fp32" and device_type == "cpu":
        hints.append(
            f"precision.compute {precision.compute} is meant for GPUs and is slower on a CPU; "
            "--set precision.compute=fp32"
        )
    if warmup_steps >= steps:
        hints.append(
            f"the warm-up takes {warmup_steps} of {steps} steps, so the learning rate never reaches its value; "
            f"--set warmup_steps={steps // 10}"
        )
    return hints


def _power_of_two(limit: int) -> int:
    """Return the largest power of two up to `limit`, at least 2."""
    return max(2, 1 << (limit.bit_length() - 1))
