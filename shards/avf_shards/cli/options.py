"""Arguments that several commands of avf-shards share."""

import argparse
from pathlib import Path


def add_shards_argument(parser: argparse.ArgumentParser) -> None:
    """Add the folder of shards as the first word."""
    parser.add_argument("shards", metavar="SHARDS", type=Path, help="folder of packed shards")
