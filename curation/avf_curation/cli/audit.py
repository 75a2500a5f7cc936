"""Questions to a run: audit, explain, whatif."""

import argparse
import sys
from pathlib import Path
from typing import Any

from avf_shards.cli.common import answered, json_option

from avf_curation.cli.options import existing, run_folder


def add(commands: Any) -> None:
    """Add the commands."""
    one = commands.add_parser("audit", help="the funnel per source x stage x reason; a page with pictures and charts")
    run_folder(one)
    one.add_argument("other", metavar="RUN2", nargs="?", help="a second run: what moved, beyond chance; RUN@DATE too")
    one.add_argument("--verdicts", metavar="FILE", type=Path, help="answers of a review: precision and recall")
    one.add_argument("--html", metavar="FILE", type=Path, help="write one self-contained page")
    one.add_argument("--seed", type=int, default=0, help="of the contact sheet's sample (default: 0)")
    one.add_argument("--source", action="append", default=[], metavar="NAME=DIR", help="where inputs lie now")
    json_option(one)
    one.set_defaults(run=_audit)

    one = commands.add_parser("review", help="a page of sampled clips to judge: right, wrong, unsure; works offline")
    run_folder(one)
    one.add_argument("--n", type=int, default=200, help="spans, shared out over source x reason (default 200)")
    one.add_argument("--seed", type=int, default=0, help="of the sample (default 0)")
    one.add_argument("--out", metavar="DIR", type=Path, required=True, help="new folder for the page and its clips")
    one.add_argument("--source", action="append", default=[], metavar="NAME=DIR", help="where inputs lie now")
    one.set_defaults(run=_review)

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
    from avf_curation.audit.funnel import audit
    from avf_curation.console.tables import console, show_audit
    from avf_curation.reports.audit_report import write_page
    from avf_curation.runs.plan import parse_sources

    if options.other is not None:
        return _compare(options)
    run = existing(options)
    if options.verdicts is not None:
        return _judged(options)
    result = audit(run)
    if options.html:
        roots = parse_sources(options.source) if options.source else None
        write_page(run, result, options.html, options.seed, roots)
        print(f"avf-curate: wrote {options.html}", file=sys.stderr)
    if not answered(options, result.as_json()):
        show_audit(console(), result)
    return 1 if result.law else 0


def _explain(options: argparse.Namespace) -> int:
    from avf_shards.schema import ledger

    from avf_curation.audit.explain import find_video
    from avf_curation.console.tables import console, show_story

    table = existing(options).ledger()
    story = find_video(table, options.video)
    rows = ledger.to_table(story).to_pylist()
    if not answered(options, rows):
        show_story(console(), story)
    return 0


def _whatif(options: argparse.Namespace) -> int:
    from avf_curation.audit.what_if import asked, whatif
    from avf_curation.console.tables import console, show_whatif

    run = existing(options)
    found = whatif(run, asked(options.set, run.identity()))
    if not answered(options, found.as_json()):
        show_whatif(console(), found)
    return 0


def _calibrate(options: argparse.Namespace) -> int:
    from avf_curation.audit.calibrate import calibrate
    from avf_curation.console.tables import console, show_calibration

    found = calibrate(existing(options).ledger(), options.source, options.keep, options.check)
    if not answered(options, found.as_json()):
        show_calibration(console(), found)
    return 0


def _judged(options: argparse.Namespace) -> int:
    from avf_curation.audit.review import as_json, assess, read_verdicts
    from avf_curation.console.tables import console, show_judged

    review, verdicts = read_verdicts(options.verdicts, existing(options))
    found = assess(review, verdicts)
    if not answered(options, as_json(found)):
        show_judged(console(), found, len(verdicts), len(review.items))
    return 0


def _compare(options: argparse.Namespace) -> int:
    from avf_curation.audit.compare import compare
    from avf_curation.console.tables import console, show_comparison
    from avf_curation.runs.snapshots import two_ledgers

    found = compare(*two_ledgers(str(options.folder), options.other))
    if not answered(options, found.as_json()):
        show_comparison(console(), found)
    return 0


def _review(options: argparse.Namespace) -> int:
    from avf_curation.audit.review import draw
    from avf_curation.reports.review_sheet import write_review
    from avf_curation.runs.identity import remembered_roots
    from avf_curation.runs.plan import parse_sources

    run = existing(options)
    roots = parse_sources(options.source) if options.source else remembered_roots(run)
    review = draw(run, options.n, options.seed)
    terminal = sys.stderr.isatty()

    def progress(done: int) -> None:
        if terminal:
            print(f"\r{done}/{len(review.items)} clips", end="", file=sys.stderr, flush=True)

    print(write_review(run, review, options.out, roots, progress))
    return 0
