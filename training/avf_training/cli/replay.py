"""avf-train replay: find the module and clips whose outputs were not finite."""

import argparse
from dataclasses import asdict
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, write_answer
from avf_shards.cli.standard_output import forgive_closed_output

from avf_training.cli.options import add_run_argument
from avf_training.data.shard_checks import require_shards


def add(commands: Any) -> None:
    """Add `replay`."""
    parser = add_command(
        commands,
        "replay",
        _run,
        help="Repeat the step that stopped a run because its loss was not finite, and name the module and clips.",
        details="Exits with 1 where the loss is not finite in the repetition either.",
    )
    add_run_argument(parser)
    parser.add_argument("--shards", metavar="SHARDS", required=True, help="shards that the run was trained on")
    parser.add_argument(
        "--rank",
        metavar="N",
        type=int,
        default=0,
        help="rank whose part of the step is repeated (default: %(default)s)",
    )
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_training.config.pretrain import recipe_of_run

    recipe_of_run(options.folder)
    require_shards([options.shards])
    # After what is refused quickly: this loads torch.
    from avf_training.console.training_tables import print_replay
    from avf_training.data.storage import StorageConfig
    from avf_training.pretraining.replay import replay_step

    report = replay_step(options.folder, options.shards, StorageConfig(), options.rank)
    with forgive_closed_output():
        if not write_answer(options, asdict(report) | {"finite": report.finite}):
            print_replay(report)
    return 0 if report.finite else 1
