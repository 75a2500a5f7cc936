"""avf-train posttrain: post-pre-training on the labelled hybrid."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command, set_completer

from avf_training.cli.options import dataset_names
from avf_training.cli.stage import add_stage_options, stage_options


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
    from avf_training.finetune_api import PosttrainOptions, posttrain

    more = PosttrainOptions(join=options.join, **stage_options(options))
    posttrain(options.target, options.shards, options.out, options.recipe, settings=options.set, options=more)
    return 0
