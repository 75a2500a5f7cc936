"""Arguments that several commands of avf-shards share."""

import argparse

from avf_shards.cli.common import local_path


def add_shards_argument(parser: argparse.ArgumentParser) -> None:
    """Add the folder of shards as the first word."""
    parser.add_argument("shards", metavar="SHARDS", type=local_path, help="folder of packed shards")
