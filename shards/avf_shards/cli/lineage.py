"""avf-shards lineage: trace clips and pictures back to their input files."""

import argparse
import sys
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, print_answer
from avf_shards.cli.options import add_shards_argument


def add(commands: Any) -> None:
    """Add `lineage`."""
    parser = add_command(
        commands,
        "lineage",
        _run,
        help="Trace clips or pictures back to their inputs: file, span, every score with its threshold, models.",
    )
    add_shards_argument(parser)
    parser.add_argument(
        "keys",
        metavar="KEY",
        nargs="+",
        help="key of a clip or picture, as in `keys` of a training batch ('-': read keys from standard input)",
    )
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_shards.packing.lineage import format_lineage, trace_clips

    keys = sys.stdin.read().split() if options.keys == ["-"] else options.keys
    clips = trace_clips(options.shards, keys)
    values = [clip.as_dict() for clip in clips]
    print_answer(options, values[0] if len(keys) == 1 else values, "\n".join(map(format_lineage, clips)))
    return 0
