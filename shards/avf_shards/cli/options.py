"""Arguments that several commands of avf-shards share."""

import argparse

from avf_shards.cli.common import local_path

STOPPED_MIDWAY = "stopped; the same command continues where it was"
"""Message after Ctrl-C of a command that works in steps."""


def add_shards_argument(parser: argparse.ArgumentParser) -> None:
    """Add the folder of shards as the first word."""
    parser.add_argument("shards", metavar="SHARDS", type=local_path, help="folder of packed shards")
