"""Questions to a run: audit, explain, whatif."""

import argparse
import sys
from pathlib import Path
from typing import Any

from avf_shards.cli.common import json_option, write_answer

from avf_curation.cli.options import open_run, run_argument


def add(commands: Any) -> None:
    """Add the commands."""
    one = commands.add_parser("audit", help="the funnel per source x stage x reason; a page with pictures and charts")
    run_argument(one)
    one.add_argument("other", metavar="RUN2", nargs="?", help="a second run: what moved, beyond chance; RUN@DATE too")
    one.add_argument("--verdicts", metavar="FILE", type=Path, help="answers of a review: precision and recall")
    one.add_argument("--html", metavar="FILE", type=Path, help="write one self-contained page")
    one.add_argument("--seed", type=int, default=0, help="of the contact sheet's sample (default: 0)")
    one.add_argument("--source", action="append", default=[], metavar="NAME=DIR", help="where inputs lie now")
    json_option(one)
    one.set_defaults(run=_audit)

    one = commands.add_parser("review", help="a page of sampled clips to judge: right, wrong, unsure; works offline")
    run_argument(one)
    one.add_argument("--n", type=int, default=200, help="spans, shared out over source x reason (default 200)")
    one.add_argument("--seed", type=int, default=0, help="of the sample (default 0)")
    one.add_argument("--out", metavar="DIR", type=Path, required=True, help="new folder for the page and its clips")
    one.add_argument("--source", action="append", default=[], metavar="NAME=DIR", help="where inputs lie now")
    one.set_defaults(run=_review)

    one = commands.add_parser("explain", help="one video's story, second by second")
    run_argument(one)
    one.add_argument("video", metavar="VIDEO", help="its id (path below the source), or SOURCE/id")
    json_option(one)
    one.set_defaults(run=_explain)

    one = commands.add_parser("whatif", help="what another threshold would have decided, per source, without any video")
    run_argument(one)
    one.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a threshold; repeat for more")
    json_option(one)
    one.set_defaults(run=_whatif)

    one = commands.add_parser("calibrate", help="thresholds for one source, by the share of its spans that should pass")
    run_argument(one)
    one.add_argument("--source", metavar="NAME", required=True)
    one.add_argument("--keep", metavar="SHARE", type=float, default=0.8, help="should pass each check (default 0.8)")
    one.add_argument("--check", metavar="STAGE/REASON", action="append", help="only these; repeat for more")
    json_option(one)
    one.set_defaults(run=_calibrate)


def _audit(options: argparse.Namespace) -> int:
    from avf_curation.audit.funnel import summarize_run
    from avf_curation.console.tables import make_console, print_audit
    from avf_curation.reports.audit_report import write_audit_report
    from avf_curation.runs.plan import parse_sources

    if options.other is not None:
        return _compare(options)
    run = open_run(options)
    if options.verdicts is not None:
        return _judged(options)
    result = summarize_run(run)
    if options.html:
        roots = parse_sources(options.source) if options.source else None
        write_audit_report(run, result, options.html, options.seed, roots)
        print(f"avf-curate: wrote {options.html}", file=sys.stderr)
    if not write_answer(options, result.as_json()):
        print_audit(make_console(), result)
    return 1 if result.law else 0


def _explain(options: argparse.Namespace) -> int:
    from avf_shards.schema import ledger

    from avf_curation.audit.explain import find_video
    from avf_curation.console.tables import make_console, print_decisions

    table = open_run(options).ledger()
    story = find_video(table, options.video)
    rows = ledger.decisions_to_table(story).to_pylist()
    if not write_answer(options, rows):
        print_decisions(make_console(), story)
    return 0


def _whatif(options: argparse.Namespace) -> int:
    from avf_curation.audit.what_if import requested_thresholds, what_if_run
    from avf_curation.console.tables import make_console, print_what_if

    run = open_run(options)
    found = what_if_run(run, requested_thresholds(options.set, run.identity()))
    if not write_answer(options, found.as_json()):
        print_what_if(make_console(), found)
    return 0


def _calibrate(options: argparse.Namespace) -> int:
    from avf_curation.audit.calibrate import propose_thresholds
    from avf_curation.console.tables import make_console, print_calibration

    found = propose_thresholds(open_run(options).ledger(), options.source, options.keep, options.check)
    if not write_answer(options, found.as_json()):
        print_calibration(make_console(), found)
    return 0


def _judged(options: argparse.Namespace) -> int:
    from avf_curation.audit.review import read_verdicts, review_as_json, score_review
    from avf_curation.console.tables import make_console, print_review

    review, verdicts = read_verdicts(options.verdicts, open_run(options))
    found = score_review(review, verdicts)
    if not write_answer(options, review_as_json(found)):
        print_review(make_console(), found, len(verdicts), len(review.items))
    return 0


def _compare(options: argparse.Namespace) -> int:
    from avf_curation.audit.compare import compare_ledgers
    from avf_curation.console.tables import make_console, print_comparison
    from avf_curation.runs.snapshots import load_ledgers

    found = compare_ledgers(*load_ledgers(str(options.folder), options.other))
    if not write_answer(options, found.as_json()):
        print_comparison(make_console(), found)
    return 0


def _review(options: argparse.Namespace) -> int:
    from avf_curation.audit.review import sample_review
    from avf_curation.reports.review_sheet import write_review_sheet
    from avf_curation.runs.identity import remembered_roots
    from avf_curation.runs.plan import parse_sources

    run = open_run(options)
    roots = parse_sources(options.source) if options.source else remembered_roots(run)
    review = sample_review(run, options.n, options.seed)
    terminal = sys.stderr.isatty()

    def progress(done: int) -> None:
        if terminal:
            print(f"\r{done}/{len(review.items)} clips", end="", file=sys.stderr, flush=True)

    print(write_review_sheet(run, review, options.out, roots, progress))
    return 0
