"""The learning rate of a sequence model by step, as its paper or its released code has it."""

from collections.abc import Callable

from avf_training.framewise.protocol import ProtocolOptions
from avf_training.framewise.schedules import (
    cosine_with_restarts,
    netease_epoch_rate,
    run_cosine_rate,
    warmup_then_epoch_cosine,
)
from avf_training.framewise.training.frame_recipe import FrameRecipe, RateSchedule
from avf_training.trainer.optimizer import FunctionSchedule


def choose_schedule(recipe: FrameRecipe, options: ProtocolOptions) -> RateSchedule:
    """Return the recipe's schedule, or the model's own by the protocol."""
    if recipe.schedule is not None:
        return recipe.schedule
    if recipe.is_clip_model:
        return options.fusion_rate
    return "restarts" if recipe.model == "cross_attention" else "warmup_cosine"


def make_frame_schedule(
    recipe: FrameRecipe, options: ProtocolOptions, *, steps: int, steps_per_epoch: int
) -> FunctionSchedule:
    """Return the schedule of a run of so many steps."""
    highest, lowest = recipe.rate, recipe.lowest_rate
    rates: dict[RateSchedule, Callable[[int], float]] = {
        "warmup_cosine": lambda step: warmup_then_epoch_cosine(
            step,
            steps_per_epoch=steps_per_epoch,
            highest=highest,
            lowest=lowest,
            warmup_from=min(options.warmup_start_rate, highest),
            warmup_steps=recipe.warmup_steps,
        ),
        "restarts": lambda step: cosine_with_restarts(
            step, steps_per_epoch=steps_per_epoch, highest=highest, lowest=lowest
        ),
        "run_cosine": lambda step: run_cosine_rate(step, epochs=steps, highest=highest, lowest=lowest),
        # The released code's rates, whatever the recipe's: they are what the option stands for.
        "triangle": lambda step: netease_epoch_rate(step // steps_per_epoch),
        "constant": lambda step: highest,
    }
    rate_of = rates[choose_schedule(recipe, options)]
    return FunctionSchedule(peak=highest, end=lowest, warmup_steps=recipe.warmup_steps, steps=steps, rate_of=rate_of)
