"""avf-shards verify: compare every byte of the shards with what was packed."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, print_answer
from avf_shards.cli.options import add_shards_argument
from avf_shards.cli.standard_output import forgive_closed_output
from avf_shards.text import printable


def add(commands: Any) -> None:
    """Add `verify`."""
    parser = add_command(
        commands,
        "verify",
        _run,
        help="Check every byte of the shards.",
        details="Lists each fault: a changed byte, a truncated file, a missing or a foreign shard. Exits with 1 where "
        "there is any.",
    )
    add_shards_argument(parser)
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_shards.packing.verify import verify_shards

    faults = verify_shards(options.shards)
    text = "\n".join(map(printable, faults)) if faults else f"{options.shards}: every byte is as packed"
    with forgive_closed_output():
        print_answer(options, {"faults": faults}, text)
    return 1 if faults else 0
