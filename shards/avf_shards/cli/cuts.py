"""avf-shards cuts: a list of which part of which file each clip is."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command
from avf_shards.cli.options import add_shards_argument
from avf_shards.cli.paths import ending_of
from avf_shards.packing.cut_kinds import CUT_LISTS
from avf_shards.text import count_noun


def add(commands: Any) -> None:
    """Add `cuts`."""
    parser = add_command(
        commands,
        "cuts",
        _run,
        help="List which seconds and which part of the picture of which input file each clip is.",
        details="With the list others cut the same stretches out of the original files, at their own size. In a table, "
        "line breaks in names are spaces, and what a spreadsheet would take for a formula has an apostrophe before it; "
        "lines of JSON have names as they are.",
    )
    add_shards_argument(parser)
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=ending_of(CUT_LISTS),
        required=True,
        help="file to write: a table (.csv), or a JSON object a line (.jsonl)",
    )


def _run(options: argparse.Namespace) -> int:
    from avf_shards.packing.cut_list import list_cuts, write_cuts

    cuts = list(list_cuts(options.shards))
    write_cuts(cuts, options.out)
    seconds = sum(cut.stop_s - cut.start_s for cut in cuts)
    print(f"{options.out}: {count_noun(len(cuts), 'clip')}, {seconds:.1f} s")
    unknown = sum(cut.crop_px is None for cut in cuts)
    if unknown:
        print(f"  {count_noun(unknown, 'clip')} of an earlier version: where the face is in the picture is not known")
    return 0
