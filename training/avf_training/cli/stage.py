"""Functions that `posttrain` and `finetune` share: their options, and the training of one stage on a task."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from avf_shards.cli.common import output_folder
from avf_shards.cli.logging_setup import show_progress
from avf_shards.schema.fields import Fields

from avf_training.cli.options import (
    RECIPES,
    add_cache_option,
    add_device_option,
    add_labelled_shards_option,
    add_model_option,
    add_recipe_option,
    labelled_shards,
)
from avf_training.distributed.device_choice import resolve_device


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
    if text != "all" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor all")
    return text if text == "all" else int(text)


def train_on_folds(
    options: argparse.Namespace, data: Any, train: Callable[[argparse.Namespace], bool]
) -> dict[int, Path] | None:
    """Train on the fold of `--fold`, or on every fold of a data set, each in a folder of its own.

    Return the folders of all folds by number where all are finished, or None for a single fold and where a signal
    stopped the run. Raises UserError.

    Args:
        train: trains on the fold, start and folder in its options; returns whether the run is finished, on every rank
            the same.
    """
    if options.fold != "all":
        train(_options_of_fold(options, options.fold, options.out))
        return None
    from avf_training.finetuning.all_folds import fold_folder
    from avf_training.tasks.folds import make_folds
    from avf_training.tasks.labelled_clips import read_labelled_clips

    labelled = read_labelled_clips(labelled_shards(options), data)
    runs = {fold.number: fold_folder(options.out, fold.number) for fold in make_folds(data, labelled.clips)}
    for number, run in runs.items():
        if not train(_options_of_fold(options, number, run)):
            return None
    return runs


def _options_of_fold(options: argparse.Namespace, number: int, out: Path) -> argparse.Namespace:
    """Return the options of the run of one fold."""
    model = None if options.model is None else Path(str(options.model).replace("{fold}", str(number)))
    return argparse.Namespace(**{**vars(options), "fold": number, "out": out, "model": model})


def train_on_task(options: argparse.Namespace, stage: Any, make_task: Callable[[Any, Any], Any]) -> bool:
    """Train one stage and print its result. Return whether it is finished; every rank returns the same.

    Args:
        make_task: makes the task of a recipe and labelled shards.
    """
    from avf_training.config.finetune import load_finetune_recipe
    from avf_training.distributed.environment import launched_world
    from avf_training.trainer.saved_model import require_model

    recipe = load_finetune_recipe(stage, options.recipe, options.set)
    if options.model:
        require_model(options.model)
    rank = launched_world().rank
    if rank == 0:
        show_progress("reading the records of the clips")
    task = make_task(recipe, labelled_shards(options))
    if rank == 0:
        show_progress("loading the model")
    # After what is refused quickly: this loads torch.
    from avf_training.console.task_tables import print_result
    from avf_training.finetuning.finetune import train_stage
    from avf_training.trainer.learning_curve import draw_learning_curve

    device = resolve_device(options.device)
    result = train_stage(recipe, task, options.model, options.out, device)
    finished: bool = result != options.out  # decided by all ranks together; a look for the file could differ
    if rank == 0:
        draw_learning_curve(options.out)
        if finished:
            print_result(read_test_result(result), options.out)
        else:
            print(f"{options.out}: stopped and saved; the same command continues")
    return finished


def read_test_result(path: Path) -> dict[str, Any]:
    """Return RUN/result.json. Raises UserError where it is damaged or of another command."""
    from avf_training.framewise.json_records import add_remedy, read_json_record

    remedy = "remove it and run the same command again, which tests the models and writes it anew"
    result = read_json_record(path, "test result", remedy)
    with add_remedy(path, remedy):
        fields = Fields.from_value(result, str(path))
        for name in ("task", "selection_metric"):
            fields.text(name)
        for name in ("test", "validation"):
            fields.integer(name)
        protocols = fields.table("protocols")
        for name in protocols.values:
            protocols.table(name).optional_number("step")
            protocols.table(name).optional_number("selection_score")
    return result
