"""avf-shards push: shards to a data set of the Hugging Face Hub."""

import argparse
from dataclasses import asdict
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, print_answer
from avf_shards.cli.hub_options import EXTRA_HELP, add_push_options, add_repository_argument
from avf_shards.cli.options import add_shards_argument

STOPPED = "stopped; nothing of the data set changed, and what was sent is not sent again by the same command"


def add(commands: Any) -> None:
    """Add `push`."""
    parser = add_command(
        commands,
        "push",
        _run,
        help="Make a data set of the Hugging Face Hub hold exactly these shards.",
        details="Every byte is checked first. Readers see the new shards when all of them are there. Clips that were "
        f"deleted here leave the data set too.\n\n{EXTRA_HELP}",
    )
    parser.set_defaults(stopped=STOPPED)
    add_shards_argument(parser)
    add_repository_argument(parser, "dataset", pinnable=False)
    add_push_options(parser)
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_shards.hub.shards import push_shards

    pushed = push_shards(
        options.shards,
        options.repository,
        licence=options.licence,
        private=not options.public,
        forget=options.forget,
    )
    text = f"{pushed.repository}: {pushed.sent} files, {pushed.removed} of earlier pushes removed"
    print_answer(options, asdict(pushed), text)
    return 0
