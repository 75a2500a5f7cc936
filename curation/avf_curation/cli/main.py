# PYTHON_ARGCOMPLETE_OK
"""avf-curate: raw video becomes spans with a verdict for every second of input."""

import argparse
import sys
from collections.abc import Sequence

from avf_shards.cli.common import make_parser, run_command

from avf_curation.cli.commands import COMMANDS
from avf_curation.cli.interrupt import run_interruptible

EXAMPLES = """\
avf-curate demo --out demo-out
avf-curate run --source interviews=/data/interviews --out RUN
avf-curate status RUN
avf-curate audit RUN --html report.html
avf-shards pack RUN --out SHARDS
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    description = (
        "Raw talking-face video becomes spans, with a verdict for every second of input, and clips; each face picture "
        "has a verdict of its own."
    )
    parser, commands = make_parser("avf-curate", description, EXAMPLES)
    for command in COMMANDS:
        command.add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status."""
    return run_command(build_parser(), arguments, stopped="stopped", run=run_interruptible)


if __name__ == "__main__":
    sys.exit(main())
