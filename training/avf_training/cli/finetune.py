"""avf-train finetune: fine-tune and test on one fold of a data set."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command, set_completer

from avf_training.cli.options import dataset_names
from avf_training.cli.stage import add_stage_options, stage_options


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
    from avf_training.distributed.environment import launched_world
    from avf_training.finetune_api import FinetuneOptions, finetune

    more = FinetuneOptions(train_on=options.train_on, **stage_options(options))
    run = finetune(options.dataset, options.shards, options.out, options.recipe, settings=options.set, options=more)
    if options.fold == "all" and run.finished and launched_world().rank == 0:
        from avf_training.console.task_tables import print_folds
        from avf_training.tasks.catalog import find_dataset

        print_folds(find_dataset(options.dataset), run.summary(), run.folder / "folds.json")
    return 0
