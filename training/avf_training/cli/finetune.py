"""avf-train finetune: fine-tune and test on one fold of a data set."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command, set_completer

from avf_training.cli.options import dataset_names
from avf_training.cli.stage import add_stage_options, train_on_task


def add(commands: Any) -> None:
    """Add `finetune`."""
    parser = add_command(commands, "finetune", _run, help="Fine-tune a model and test it on one fold of a data set.")
    dataset = parser.add_argument(
        "--dataset", metavar="NAME|FILE", required=True, help="name of a data set (see avf-train datasets), or a file"
    )
    set_completer(dataset, dataset_names)
    train_on = parser.add_argument(
        "--train-on",
        metavar="NAME|FILE",
        help="another data set to train on, with labels aligned; --dataset is then only tested on (default: none)",
    )
    set_completer(train_on, dataset_names)
    add_stage_options(parser, "finetune")


def _run(options: argparse.Namespace) -> int:
    from avf_training.tasks.catalog import find_dataset
    from avf_training.tasks.task import fold_task, transfer_task

    dataset = find_dataset(options.dataset)
    source = find_dataset(options.train_on) if options.train_on else None

    def make_task(recipe: Any, shards: Any) -> Any:
        if source:
            return transfer_task(source, dataset, shards, recipe.modalities, recipe.validation_share)
        return fold_task(dataset, shards, options.fold, recipe.modalities, recipe.validation_share)

    return train_on_task(options, "finetune", make_task)
