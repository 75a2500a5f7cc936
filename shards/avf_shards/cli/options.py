"""Arguments that several commands of avf-shards share."""

import argparse

from avf_shards.cli.paths import local_path

STOPPED_MIDWAY = "stopped; the same command continues where it was"
"""Message after Ctrl-C of a command that works in steps."""


def add_shards_argument(parser: argparse.ArgumentParser) -> None:
    """Add the folder of shards as the first word."""
    parser.add_argument("shards", metavar="SHARDS", type=local_path, help="folder of packed shards")


def add_deny_option(parser: argparse.ArgumentParser) -> None:
    """Add `--deny FILE`, which may be repeated."""
    parser.add_argument(
        "--deny",
        metavar="FILE",
        type=local_path,
        action="append",
        default=[],
        help="keep nothing of what FILE names: a list as of `avf-shards delete --list`, or a run or folder of shards "
        "from which clips or pictures were deleted; repeat for more",
    )
