"""Questions to a run: audit, explain, whatif."""

import argparse
import sys
from pathlib import Path
from typing import Any

from avf_shards.command import answered, json_option

from avf_curation.commands.options import existing, run_folder


def add(commands: Any) -> None:
    """Add the commands."""
    one = commands.add_parser("audit", help="the funnel per source x stage x reason; a page with pictures and charts")
    run_folder(one)
    one.add_argument("--html", metavar="FILE", type=Path, help="write one self-contained page")
    one.add_argument("--seed", type=int, default=0, help="of the contact sheet's sample (default: 0)")
    one.add_argument("--source", action="append", default=[], metavar="NAME=DIR", help="where inputs lie now")
    json_option(one)
    one.set_defaults(run=_audit)

    one = commands.add_parser("explain", help="one video's story, second by second")
    run_folder(one)
    one.add_argument("video", metavar="VIDEO", help="its id (path below the source), or SOURCE/id")
    json_option(one)
    one.set_defaults(run=_explain)

    one = commands.add_parser("whatif", help="what another threshold would have decided, per source, without any video")
    run_folder(one)
    one.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a threshold; repeat for more")
    json_option(one)
    one.set_defaults(run=_whatif)

    one = commands.add_parser("calibrate", help="thresholds for one source, by the share of its spans that should pass")
    run_folder(one)
    one.add_argument("--source", metavar="NAME", required=True)
    one.add_argument("--keep", metavar="SHARE", type=float, default=0.8, help="should pass each check (default 0.8)")
    one.add_argument("--check", metavar="STAGE/REASON", action="append", help="only these; repeat for more")
    json_option(one)
    one.set_defaults(run=_calibrate)


def _audit(options: argparse.Namespace) -> int:
    from avf_curation.audit import audit
    from avf_curation.page import write_page
    from avf_curation.plan import parse_sources
    from avf_curation.show import console, show_audit

    run = existing(options)
    result = audit(run)
    if options.html:
        roots = parse_sources(options.source) if options.source else None
        write_page(run, result, options.html, options.seed, roots)
        print(f"avf-curate: wrote {options.html}", file=sys.stderr)
    if not answered(options, result.as_json()):
        show_audit(console(), result)
    return 1 if result.law else 0


def _explain(options: argparse.Namespace) -> int:
    from avf_shards import ledger

    from avf_curation.show import console, find_video, show_story

    table = existing(options).ledger()
    story = find_video(table, options.video)
    rows = ledger.to_table(story).to_pylist()
    if not answered(options, rows):
        show_story(console(), story)
    return 0


def _whatif(options: argparse.Namespace) -> int:
    from avf_curation.show import console, show_whatif
    from avf_curation.whatif import asked, whatif

    run = existing(options)
    found = whatif(run, asked(options.set, run.identity()))
    if not answered(options, found.as_json()):
        show_whatif(console(), found)
    return 0


def _calibrate(options: argparse.Namespace) -> int:
    from avf_curation.calibrate import calibrate
    from avf_curation.show import console, show_calibration

    found = calibrate(existing(options).ledger(), options.source, options.keep, options.check)
    if not answered(options, found.as_json()):
        show_calibration(console(), found)
    return 0
