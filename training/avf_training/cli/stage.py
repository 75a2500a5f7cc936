"""Functions that `posttrain` and `finetune` share: their options, and what is printed of a run."""

import argparse
from pathlib import Path
from typing import Any

from avf_shards.cli.paths import output_folder
from avf_shards.errors import UserError

from avf_training.cli.options import (
    RECIPES,
    add_cache_option,
    add_device_option,
    add_labelled_shards_option,
    add_model_option,
    add_recipe_option,
)


def add_stage_options(parser: argparse.ArgumentParser, stage: str) -> None:
    """Add the options of a stage that learns from labels."""
    parser.add_argument(
        "--fold",
        metavar="N|all",
        type=_fold,
        default=1,
        help="number of the fold, or all of them one after the other, in folders of --out (default: %(default)s)",
    )
    add_labelled_shards_option(parser)
    add_recipe_option(parser, RECIPES / stage, "epochs=30")
    add_model_option(
        parser,
        "saved model or finished run to start from; {fold} in it stands for the fold (default: random weights)",
        required=False,
    )
    parser.add_argument(
        "--out", metavar="RUN", type=output_folder, required=True, help="folder of the run; made if missing"
    )
    add_device_option(parser)
    add_cache_option(parser)


def _fold(text: str) -> int | str:
    """Return the number of a fold, or "all"."""
    from avf_training.finetune_api import parse_fold

    try:
        return parse_fold(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def stage_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options of a stage as the fields of StageOptions."""
    return {
        "fold": options.fold,
        "model": options.model,
        "device": options.device or "auto",
        "cache": options.cache,
        "on_run": _print_run,
    }


def _print_run(out: Path, finished: bool) -> None:
    """Print the result of a run, or that it was stopped."""
    from avf_training.console.task_tables import print_result
    from avf_training.finetune_api import read_test_result

    if finished:
        print_result(read_test_result(out / "result.json"), out)
    else:
        print(f"{out}: stopped and saved; the same command continues")
