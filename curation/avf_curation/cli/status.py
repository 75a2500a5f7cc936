"""avf-curate status: how far a run is."""

import argparse
import time
from contextlib import suppress
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, write_answer
from avf_shards.errors import UserError
from avf_shards.format.content import input_noun
from avf_shards.text import printable
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_curation.cli.options import add_run_argument, open_run

_SHOWN_UNITS = 8  # lines of workers that are printed


def add(commands: Any) -> None:
    """Add `status`."""
    parser = add_command(commands, "status", _run, help="Print how far a run is, and whether it is going or stopped.")
    add_run_argument(parser)
    parser.add_argument(
        "--watch", metavar="S", type=float, help="print the progress every S seconds until the run ends or stops"
    )
    parser.add_argument(
        "--serve",
        metavar="PORT",
        type=int,
        nargs="?",
        const=0,
        help="serve a page that refreshes itself, to browsers on this machine alone (without PORT: a free one)",
    )
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_curation.runs.status import run_status

    run = open_run(options)
    if options.serve is not None:
        return _serve(options, run)
    if options.watch is not None:
        return _watch(options, run)
    status = run_status(run)
    if write_answer(options, status.as_json()):
        return 0
    progress, noun = status.progress, input_noun(status.progress.content)
    detail = {"going": f" ({status.coordinator})", "stopped": "; start it again with the same command"}
    print(f"{status.state}{detail.get(status.state, '')}")
    print(
        f"{progress.videos_done + progress.videos_in_units}/{progress.videos} {noun}s, "
        f"{progress.units_done}/{progress.units} units committed "
        f"in attempt {status.attempt}{f' (of the {noun}s that are retried or deleted)' if status.attempt else ''}"
    )
    if progress.content == "clips":
        print(
            f"{progress.kept} clips kept, {progress.rejected} spans rejected, {progress.failed} failed, "
            f"{progress.frames / FRAMES_PER_SECOND:.1f} s of video"
        )
    else:
        print(f"{progress.kept} kept, {progress.rejected} rejected, {progress.failed} failed")
    if status.unreadable:
        print(status.unreadable_sentence)
    for unit in progress.active[:_SHOWN_UNITS]:
        print(f"  at {printable(unit.video or f'the next {noun}')}: {unit.stage or 'starting'}")
    if len(progress.active) > _SHOWN_UNITS:
        print(f"  and {len(progress.active) - _SHOWN_UNITS} more workers")
    if status.last_unit_s_ago is not None:
        print(f"last unit {status.last_unit_s_ago:.0f} s ago")
    return 0


def _watch(options: argparse.Namespace, run: Any) -> int:
    from avf_curation.runs.status import watch_status

    if options.watch <= 0:
        raise UserError(f"--watch {options.watch:g} must be above 0 seconds")
    if options.json:
        raise UserError("--watch and --json exclude each other; leave one out")
    for status in watch_status(run, options.watch):
        progress = status.progress
        print(
            f"{time.strftime('%H:%M:%S')} {status.state}: "
            f"{progress.videos_done + progress.videos_in_units}/{progress.videos} {input_noun(progress.content)}s, "
            f"{progress.kept} kept, {progress.rejected} rejected, {progress.failed} failed",
            flush=True,
        )
    return 0


def _serve(options: argparse.Namespace, run: Any) -> int:
    from avf_curation.reports.live_page import open_live_page

    if options.json or options.watch is not None:
        raise UserError("--serve, --watch and --json exclude each other; leave the others out")
    with open_live_page(run, options.serve) as page:
        print(f"{page.url}  (Ctrl-C ends)", flush=True)
        with suppress(KeyboardInterrupt):
            page.serve()
    return 0
