"""avf-shards delete: take clips or pictures out of shards, and out of the run that the shards were packed from."""

import argparse
import logging
from dataclasses import asdict
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, print_answer
from avf_shards.cli.options import STOPPED_MIDWAY
from avf_shards.cli.paths import local_path
from avf_shards.errors import UserError
from avf_shards.text import count_noun

LIST_HELP = """\
lines of the list; a '#' at the start or after a space begins a comment:
  video SOURCE/ID    # or the id of a picture
  speaker SOURCE/NAME   # or the person whom pictures show
  key KEY
  sha256 DIGEST      # of an input file
"""


def add(commands: Any) -> None:
    """Add `delete`."""
    parser = add_command(
        commands,
        "delete",
        _run,
        help="Delete clips or pictures from the shards and the run, prove that they are gone, and keep them away.",
        details="Only the shards that hold them are rewritten. Tombstones take the place of what is deleted, so that "
        "all else keeps its position in the training order. Byte-identical inputs under other names go "
        "too, and what was named stays on the denylist of the run and the shards. A deletion that was stopped "
        "continues when the same command is started again.",
        epilog=LIST_HELP,
    )
    parser.set_defaults(stopped=STOPPED_MIDWAY)
    parser.add_argument(
        "shards", metavar="SHARDS", type=local_path, nargs="?", help="folder of packed shards (default: only --run)"
    )
    parser.add_argument(
        "--video",
        metavar="SOURCE/ID",
        action="append",
        default=[],
        help="a video or a picture, by its id; repeat for more",
    )
    parser.add_argument(
        "--speaker",
        metavar="SOURCE/NAME",
        action="append",
        default=[],
        help="a person: a speaker, or whom pictures show; repeat for more",
    )
    parser.add_argument("--list", metavar="FILE", type=local_path, help="file that lists what to delete")
    parser.add_argument(
        "--run",
        dest="run_folder",
        metavar="RUN",
        type=local_path,
        help="run that the shards were packed from; delete there too",
    )
    parser.add_argument(
        "--also-twins-by-sound",
        action="store_true",
        help="delete the clips of RUN with the same sound as a deleted clip too; without this option they are listed "
        "(pictures have no sound)",
    )
    parser.add_argument(
        "--allow-unknown",
        action="store_true",
        help="forbid also what neither SHARDS nor RUN knows, for runs to come; without this option it is an error",
    )
    parser.add_argument(
        "--also-search",
        metavar="DIR",
        type=local_path,
        action="append",
        default=[],
        help="a folder of pages, reviews, exports or a trainer's cache, which is searched too; repeat for more",
    )
    parser.add_argument("--reason", metavar="TEXT", default="", help="is kept with the tombstones (default: none)")
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_shards.deletion.both_places import TakedownOptions, take_down_in_both
    from avf_shards.deletion.proof import LeftOverError
    from avf_shards.deletion.requests import deletion_request
    from avf_shards.format.run_folder import RunFolder

    try:
        lines = options.list.read_text("utf-8-sig").splitlines() if options.list else []
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--list {options.list}: cannot be read ({error})") from None
    if options.shards is None and options.run_folder is None:
        raise UserError("nothing to delete from: give SHARDS, --run RUN, or both")
    for folder in options.also_search:
        if not folder.is_dir():
            raise UserError(f"--also-search {folder}: no such folder")
    request = deletion_request(options.video, options.speaker, lines)
    run = RunFolder.open_existing(options.run_folder) if options.run_folder else None
    takedown = TakedownOptions(
        reason=options.reason,
        allow_unknown=options.allow_unknown,
        takes_sound_twins=options.also_twins_by_sound,
        also_search=tuple(options.also_search),
    )
    try:
        report = take_down_in_both(options.shards, run, request, takedown)
    except LeftOverError as error:
        logging.getLogger(__name__).error("%s", error)
        return 1
    values = {} if report.shards is None else asdict(report.shards)
    values |= {
        "erased_in_run": list(report.erased_in_run),
        "sound_twins": [asdict(twin) for twin in report.sound_twins],
        "not_compared": list(report.not_compared),
        "faults": list(report.faults),
        "unknown": list(report.unknown),
        "proof": asdict(report.proof),
    }
    print_answer(options, values, "\n".join(_lines(report, run, options.also_twins_by_sound)))
    for fault in report.faults:
        logging.getLogger(__name__).error("damaged: %s", fault)
    return 1 if report.faults else 0


def _lines(report: Any, run: Any, takes_sound_twins: bool) -> list[str]:
    """Return the report of a takedown for people."""
    text = []
    if report.shards is not None:
        text += [f"deleted: {key}" for key in report.shards.keys]
        text += [f"rewritten: {name}" for name in report.shards.rewritten]
        text.append(f"deleted so far: {count_noun(report.shards.tombstones, 'clip')}")
    if run:
        text.append(
            f"{run.root}: {count_noun(len(report.erased_in_run), 'clip')} erased; "
            "the ledger rejects the spans of erased clips with the reason takedown/deleted"
        )
    for twin in report.sound_twins:
        text.append(f"same sound: {twin.key} is {100 * twin.similarity:.1f} % that of {twin.twin_of}")
    if report.sound_twins and not takes_sound_twins:
        text.append("these were not deleted; listen to them, and repeat the command with a list of `key KEY`")
    text += [f"forbidden for runs to come, and known nowhere here: {word}" for word in report.unknown]
    text += [f"sound not compared: {fault}" for fault in report.not_compared]
    text.append(
        f"searched: {count_noun(report.proof.files, 'file')} ({report.proof.searched_bytes:,} bytes) for keys, names "
        "and digests of what was taken down"
    )
    text += [f"still names it: {path}; {why}" for path, why in report.proof.tombstones.items()]
    if not report.proof.tombstones:
        text.append("no file names it")
    text += [f"not searched: {path}" for path in report.proof.unsearched]
    text.append(
        "not reached: pages, exports and caches elsewhere (--also-search DIR searches more folders), other runs and "
        "packs, backups, copies of others, and models trained before"
    )
    return text
