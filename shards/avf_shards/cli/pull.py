"""avf-shards pull: shards from a data set of the Hugging Face Hub."""

import argparse
from dataclasses import asdict
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, print_answer
from avf_shards.cli.hub_options import EXTRA_HELP, add_repository_argument
from avf_shards.cli.paths import output_folder


def add(commands: Any) -> None:
    """Add `pull`."""
    parser = add_command(
        commands,
        "pull",
        _run,
        help="Fetch the shards of a data set of the Hugging Face Hub, and check every byte.",
        details="The folder appears when it is complete. The answer names the commit; name it after @ to get the same "
        f"bytes again.\n\n{EXTRA_HELP}",
    )
    parser.set_defaults(stopped="stopped; the same command goes on where it was")
    add_repository_argument(parser, "dataset", pinnable=True)
    parser.add_argument("--out", metavar="SHARDS", type=output_folder, required=True, help="new folder for the shards")
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_shards.hub.shards import pull_shards

    pulled = pull_shards(options.repository, options.out)
    print_answer(options, asdict(pulled), f"{options.out}: every byte of {pulled} is as packed")
    return 0
