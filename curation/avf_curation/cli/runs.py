"""Looking after a run: status, retry, gc."""

import argparse
import time
from typing import Any

from avf_shards.cli.common import json_option, write_answer
from avf_shards.errors import UserError

from avf_curation.cli.options import open_run, run_argument, weights_folder, weights_option


def add(commands: Any) -> None:
    """Add the commands."""
    one = commands.add_parser("status", help="how far a run is, going or stopped")
    run_argument(one)
    one.add_argument("--watch", metavar="S", type=float, help="say it again every S seconds until it ends or stops")
    json_option(one)
    one.set_defaults(run=_status)

    one = commands.add_parser("retry", help="decide the failed videos of a finished run again, with its own settings")
    run_argument(one)
    one.add_argument("--failed", action="store_true", required=True, help="those that failed; there is no other kind")
    one.add_argument("--source", action="append", default=[], metavar="NAME=DIR", help="where inputs lie now")
    one.add_argument("--engine", choices=("ray", "inline"), default="ray")
    one.add_argument("--workers", type=int, metavar="N")
    one.add_argument("--address", metavar="ADDRESS", help="a Ray cluster to join (default: one is started here)")
    weights_option(one)
    json_option(one)
    one.set_defaults(run=_retry)

    one = commands.add_parser("gc", help="remove what dead processes left behind: temporary folders, markers, claims")
    run_argument(one)
    one.add_argument("--dry-run", action="store_true", help="only say what would go")
    json_option(one)
    one.set_defaults(run=_gc)


def _status(options: argparse.Namespace) -> int:
    from avf_curation.runs.status import run_status, watch_status

    run = open_run(options)
    if options.watch is not None:
        if options.watch <= 0 or options.json:
            raise UserError("--watch wants seconds above 0, and no --json")
        for now in watch_status(run, options.watch):
            p = now.progress
            done = f"{p.videos_done}/{p.videos} videos, {p.kept} kept, {p.rejected} rejected, {p.failed} failed"
            print(f"{time.strftime('%H:%M:%S')} {now.state}: {done}", flush=True)
        return 0
    now = run_status(run)
    if write_answer(options, now.as_json()):
        return 0
    p = now.progress
    who = {"going": f" ({now.coordinator})", "stopped": "; start it again with the same command"}.get(now.state, "")
    print(f"{now.state}{who}")
    print(f"{p.videos_done}/{p.videos} videos, {p.units_done}/{p.units} units in attempt {now.attempt}")
    print(f"{p.kept} clips kept, {p.rejected} spans rejected, {p.failed} failed, {p.frames / 25:.1f} s of video")
    if now.last_unit_s_ago is not None:
        print(f"last unit {now.last_unit_s_ago:.0f} s ago")
    return 0


def _retry(options: argparse.Namespace) -> int:
    from avf_curation.audit.funnel import summarize_run
    from avf_curation.console.progress_bar import ProgressBar
    from avf_curation.console.tables import make_console, print_audit
    from avf_curation.detectors.detector_set import resolve_backends
    from avf_curation.execution.cluster import ClusterConfig
    from avf_curation.recipe import make_recipe
    from avf_curation.runs.curate import curate
    from avf_curation.runs.identity import remembered_roots
    from avf_curation.runs.plan import parse_sources

    run = open_run(options)
    identity = run.identity()
    sources = remembered_roots(run) | (parse_sources(options.source) if options.source else {})
    for name in identity["sources"]:
        if name not in sources:
            raise UserError(f"where {name} lies is not known; say --source {name}=DIR")
    recipe = make_recipe(identity["settings"])
    choice = resolve_backends(recipe, weights_folder(options))
    with ProgressBar() as bar:
        curate(
            recipe,
            choice,
            {name: sources[name] for name in identity["sources"]},
            options.folder,
            engine=options.engine,
            cluster=ClusterConfig(address=options.address, workers=options.workers),
            device=identity["device"],
            retry_failed=True,
            on_progress=bar,
        )
    result = summarize_run(run)
    if not write_answer(options, result.as_json()):
        print_audit(make_console(), result)
    return 1 if result.law else 0


def _gc(options: argparse.Namespace) -> int:
    from avf_curation.runs.cleanup import find_garbage, remove_garbage

    run = open_run(options)
    found = find_garbage(run)
    if not options.dry_run:
        remove_garbage(found)
    total = sum(found.values())
    told = {str(path.relative_to(run.root)): size for path, size in found.items()}
    if not write_answer(options, {"bytes": total, "removed": not options.dry_run, "paths": told}):
        for name, size in told.items():
            print(f"{size / 1e6:>10.1f} MB  {name}")
        what = "would be freed" if options.dry_run else "freed"
        print(f"{total / 1e6:.1f} MB {what} in {options.folder}" if found else "nothing is left behind")
    return 0
