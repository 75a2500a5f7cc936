"""avf-shards pack: make shards of the kept clips or pictures of a run."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, print_answer
from avf_shards.cli.logging_setup import progress_line
from avf_shards.cli.options import STOPPED_MIDWAY, add_deny_option
from avf_shards.cli.paths import local_path, output_folder
from avf_shards.errors import UserError

SELECTION_HELP = """\
selection file (TOML); every line is optional:
  seed = 7                       # of the random order
  clips_per_shard = 512          # or pictures
  [thresholds]                   # stricter than the run's, as STAGE/REASON of the ledger
  "sync/low_confidence" = 4.0
  [sources.voxceleb2]            # with any [sources.X], only the named sources are packed
  quota = 515000
  order = "shuffled"             # or "speakers": one clip or picture of each before the second of any; or "ledger"
  [near_duplicates]              # a clip is left out when its sound is that of a selected clip; pictures have none
  max_bit_error = 0.3
  [sources.cncvs.thresholds]
  "sync/low_confidence" = 2.5
"""


def add(commands: Any) -> None:
    """Add `pack`."""
    parser = add_command(
        commands,
        "pack",
        _run,
        help="Pack the kept clips or pictures of a finished run into shards.",
        details="A pack that was stopped continues when the same command is started again.",
        epilog=SELECTION_HELP,
    )
    parser.set_defaults(stopped=STOPPED_MIDWAY)
    parser.add_argument("runs", metavar="RUN", type=local_path, nargs="+", help="folder of a finished run")
    parser.add_argument("--out", metavar="SHARDS", type=output_folder, help="folder for the shards; made if missing")
    parser.add_argument("--dry-run", action="store_true", help="only print what would be packed")
    parser.add_argument(
        "--select", metavar="FILE", type=local_path, help="selection file (default: pack all that is kept)"
    )
    add_deny_option(parser)
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_shards.cli.selection_table import describe_selection
    from avf_shards.deletion.requests import read_deny_files
    from avf_shards.deletion.unmatched import warn_unmatched
    from avf_shards.format.run_folder import RunFolder
    from avf_shards.packing.pack import pack_shards, select_from_run
    from avf_shards.packing.selection import load_selection

    if len(options.runs) > 1:
        raise UserError("pack takes one run at a time; give the shards of each run a folder of their own")
    run, selection = RunFolder.open_existing(options.runs[0]), load_selection(options.select)
    deny, content = read_deny_files(options.deny), run.identity().content
    if options.deny:
        warn_unmatched(options.deny, run.ledger())
    if options.dry_run:
        print_answer(options, *describe_selection(select_from_run(run, selection, deny)[1], None, content))
        return 0
    if options.out is None:
        raise UserError("--out SHARDS is missing; only --dry-run works without it")
    with progress_line() as show:
        result = pack_shards(
            run, options.out, selection, lambda done, total: show(f"{done}/{total} {content}"), deny=deny
        )
    print_answer(options, *describe_selection(result, options.out, content))
    return 0
