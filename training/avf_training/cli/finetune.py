"""avf-train finetune: fine-tune and test on one fold of a data set."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command, set_completer
from avf_shards.errors import UserError

from avf_training.cli.options import dataset_names, labelled_shards
from avf_training.cli.stage import add_stage_options, train_on_folds, train_on_task


def add(commands: Any) -> None:
    """Add `finetune`."""
    parser = add_command(
        commands, "finetune", _run, help="Fine-tune a model and test it on one fold of a data set, or on each."
    )
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

    if source and options.fold == "all":
        raise UserError("--train-on has a single fold, all clips of --dataset; leave --fold out")

    def train(options: argparse.Namespace) -> bool:
        def make_task(recipe: Any, shards: Any) -> Any:
            if source:
                return transfer_task(source, dataset, shards, recipe.modalities, recipe.validation_share)
            return fold_task(dataset, shards, options.fold, recipe.modalities, recipe.validation_share)

        return train_on_task(options, "finetune", make_task)

    runs = train_on_folds(options, dataset, train)
    if runs is not None:
        _write_summary(options, dataset, runs)
    return 0


def _write_summary(options: argparse.Namespace, dataset: Any, runs: Any) -> None:
    """Write and print the scores of all folds, on one rank."""
    import json

    from avf_shards.schema.versions import stamp
    from avf_shards.system import durable_io

    from avf_training.console.task_tables import print_folds
    from avf_training.distributed.environment import launched_world
    from avf_training.finetuning.all_folds import FOLDS, fold_summary

    if launched_world().rank:
        return
    summary = fold_summary(dataset, runs, labelled_shards(options).units(dataset))
    text = json.dumps(stamp(summary, "fold results"), indent=1, sort_keys=True) + "\n"
    durable_io.replace_file(options.out / FOLDS, text.encode())
    print_folds(dataset, summary, options.out / FOLDS)
