"""avf-train posttrain: post-pre-training on the labelled hybrid."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command, set_completer

from avf_training.cli.options import dataset_names
from avf_training.cli.stage import add_stage_options, train_on_folds, train_on_task


def add(commands: Any) -> None:
    """Add `posttrain`."""
    parser = add_command(
        commands,
        "posttrain",
        _run,
        help="Train a pre-trained model on the hybrid of all labelled data sets, without the target's test clips.",
    )
    target = parser.add_argument(
        "--target", metavar="NAME|FILE", required=True, help="data set whose test fold must stay unseen"
    )
    join = parser.add_argument(
        "--join",
        metavar="NAME|FILE",
        action="append",
        default=[],
        help="data set of your own that joins the hybrid; repeat for more",
    )
    for action in (target, join):
        set_completer(action, dataset_names)
    add_stage_options(parser, "posttrain")


def _run(options: argparse.Namespace) -> int:
    from avf_training.tasks.catalog import find_dataset
    from avf_training.tasks.hybrid import hybrid_task

    joined = [find_dataset(name) for name in options.join]
    target = find_dataset(options.target)

    def train(options: argparse.Namespace) -> bool:
        def make_task(recipe: Any, shards: Any) -> Any:
            return hybrid_task(
                target,
                shards,
                options.fold,
                modalities=recipe.modalities,
                validation_share=recipe.validation_share,
                joining=joined,
            )

        return train_on_task(options, "posttrain", make_task)

    train_on_folds(options, target, train)
    return 0
