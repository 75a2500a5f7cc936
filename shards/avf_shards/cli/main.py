# PYTHON_ARGCOMPLETE_OK
"""avf-shards: pack finished runs into training shards, and ask questions of the shards."""

import argparse
import sys
from collections.abc import Sequence

from avf_shards.cli import cuts, delete, lineage, ls, order, pack, pull, push, show, verify
from avf_shards.cli.common import make_parser, run_command

EXAMPLES = """\
avf-shards pack RUN --out SHARDS
avf-shards verify SHARDS
avf-shards ls SHARDS --keys
avf-shards lineage SHARDS KEY
avf-shards cuts SHARDS --out cuts.csv
avf-shards order SHARDS --world 8 --digest
avf-shards delete SHARDS --video SOURCE/ID --run RUN
avf-shards push SHARDS organization/name --licence cc-by-4.0
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    description = "Training shards: WebDataset tars with a sidecar index, packed from a finished curation run."
    parser, commands = make_parser("avf-shards", description, EXAMPLES)
    for command in (pack, verify, ls, show, lineage, cuts, order, delete, push, pull):
        command.add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status."""
    return run_command(build_parser(), arguments, stopped="stopped")


if __name__ == "__main__":
    sys.exit(main())
