"""avf-shards delete: take clips out of shards, and out of the run that the shards were packed from."""

import argparse
from dataclasses import asdict
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, local_path, print_answer
from avf_shards.cli.options import STOPPED_MIDWAY, add_shards_argument
from avf_shards.errors import UserError
from avf_shards.text import count_noun

LIST_HELP = """\
lines of the list; '#' begins a comment:
  video SOURCE/ID
  speaker SOURCE/NAME
  key KEY
"""


def add(commands: Any) -> None:
    """Add `delete`."""
    parser = add_command(
        commands,
        "delete",
        _run,
        help="Delete clips from the shards and prove that they are gone.",
        details="Only the shards that hold such clips are rewritten. Tombstones take the place of deleted clips, so "
        "that all other clips keep their position in the training order. A deletion that was stopped continues when "
        "the same command is started again.",
        epilog=LIST_HELP,
    )
    parser.set_defaults(stopped=STOPPED_MIDWAY)
    add_shards_argument(parser)
    parser.add_argument("--video", metavar="SOURCE/ID", action="append", default=[], help="a video; repeat for more")
    parser.add_argument(
        "--speaker", metavar="SOURCE/NAME", action="append", default=[], help="a speaker; repeat for more"
    )
    parser.add_argument("--list", metavar="FILE", type=local_path, help="file that lists what to delete")
    parser.add_argument(
        "--run",
        dest="run_folder",
        metavar="RUN",
        type=local_path,
        help="run that the shards were packed from; delete there too",
    )
    parser.add_argument("--reason", metavar="TEXT", default="", help="is kept with the tombstones (default: none)")
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_shards.deletion.requests import deletion_request
    from avf_shards.deletion.shard_deletion import delete_clips
    from avf_shards.deletion.takedown import take_down
    from avf_shards.format.run_folder import RunFolder

    try:
        lines = options.list.read_text("utf-8").splitlines() if options.list else []
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--list {options.list}: cannot be read ({error})") from None
    request = deletion_request(options.video, options.speaker, lines)
    run = RunFolder.open_existing(options.run_folder) if options.run_folder else None
    report = delete_clips(options.shards, request, options.reason)
    erased = take_down(run, request) if run else ()
    text = [f"deleted: {key}" for key in report.keys]
    text += [f"rewritten: {name}" for name in report.rewritten]
    text.append(
        f"checked: no shard and no index ({report.searched_bytes:,} bytes) contains the name of a deleted clip; "
        f"deleted so far: {count_noun(report.tombstones, 'clip')}"
    )
    if run:
        text.append(
            f"{run.root}: {count_noun(len(erased), 'clip')} erased; "
            "the ledger rejects the spans of erased clips with the reason takedown/deleted"
        )
    print_answer(options, asdict(report) | {"erased_in_run": list(erased)}, "\n".join(text))
    return 0
