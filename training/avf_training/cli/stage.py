"""Functions that `posttrain` and `finetune` share: their options, and the training of one stage on a task."""

import argparse
from collections.abc import Callable
from typing import Any

from avf_shards.cli.common import output_folder

from avf_training.cli.options import (
    RECIPES,
    add_cache_option,
    add_device_option,
    add_labelled_shards_option,
    add_model_option,
    add_recipe_option,
    labelled_shards,
    resolve_device,
)


def add_stage_options(parser: argparse.ArgumentParser, stage: str) -> None:
    """Add the options of a stage that learns from labels."""
    parser.add_argument("--fold", metavar="N", type=int, default=1, help="number of the fold (default: %(default)s)")
    add_labelled_shards_option(parser)
    add_recipe_option(parser, RECIPES / stage, "epochs=30")
    add_model_option(parser, "saved model or finished run to start from (default: random weights)", required=False)
    parser.add_argument(
        "--out", metavar="RUN", type=output_folder, required=True, help="folder of the run; made if missing"
    )
    add_device_option(parser)
    add_cache_option(parser)


def train_on_task(options: argparse.Namespace, stage: Any, make_task: Callable[[Any, Any], Any]) -> int:
    """Train one stage and print its result. Return the exit status.

    Args:
        make_task: makes the task of a recipe and labelled shards.
    """
    from avf_shards.schema.versions import read_json

    from avf_training.config.finetune import load_finetune_recipe
    from avf_training.console.task_tables import print_result
    from avf_training.distributed.environment import torchrun_environment
    from avf_training.finetuning.finetune import train_stage
    from avf_training.trainer.learning_curve import draw_learning_curve

    device = resolve_device(options.device)
    recipe = load_finetune_recipe(stage, options.recipe, options.set)
    task = make_task(recipe, labelled_shards(options))
    result = train_stage(recipe, task, options.model, options.out, device)
    if torchrun_environment().rank == 0:
        draw_learning_curve(options.out)
        if result.is_file():
            print_result(read_json(result, "test result"), options.out)
        else:
            print(f"{options.out}: stopped and saved; the same command continues")
    return 0
