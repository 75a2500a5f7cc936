"""avf-curate audit: what was kept, rejected and failed, or what moved between two runs."""

import argparse
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, write_answer
from avf_shards.cli.paths import local_path, own_file
from avf_shards.errors import UserError
from avf_shards.stores.addresses import is_store_address
from avf_shards.system.own_files import PAGE
from avf_shards.text import shell_word

from avf_curation.cli.options import add_inputs_option, add_run_argument, input_folders, open_run, print_funnel

_LOG = logging.getLogger(__name__)


def add(commands: Any) -> None:
    """Add `audit`."""
    parser = add_command(
        commands,
        "audit",
        _run,
        help="Print what was kept, rejected and failed, for each source, stage and reason.",
        details="With a second run: what moved between the two, and whether it is more than chance. RUN@DATE is a run "
        "as it was at that time, such as RUN@2026-01-31. With the verdicts of a review: precision and recall of each "
        "stage. Exits with 1 where kept, rejected and failed do not add up to the input.",
    )
    add_run_argument(parser, _run_or_snapshot)
    parser.add_argument("other", metavar="RUN2", type=_run_or_snapshot, nargs="?", help="a second run, to compare with")
    parser.add_argument(
        "--verdicts",
        metavar="FILE",
        type=local_path,
        nargs="+",
        action="extend",
        help="the file that a page of `review` saved; of several files, one of each reviewer, the answer of most "
        "counts, and agreement (Cohen's kappa) and disagreements are printed",
    )
    parser.add_argument(
        "--html", metavar="FILE", type=own_file(lambda: PAGE), help="write a page with charts and pictures, in one file"
    )
    parser.add_argument(
        "--seed", metavar="N", type=int, default=0, help="seed of the page's sample of pictures (default: %(default)s)"
    )
    parser.add_argument(
        "--excerpts",
        metavar="N",
        type=int,
        default=3,
        help="spans of each source and verdict that the page shows and plays; all pictures and excerpts together stay "
        "under 5 MB (default: %(default)s)",
    )
    add_inputs_option(parser)
    add_json_option(parser)


def _run_or_snapshot(text: str) -> Path:
    """Return the path of RUN or RUN@DATE; that of an address has the folder of its mirror. argparse calls this."""
    if not is_store_address(text):
        return local_path(text)
    address, separator, date = text.partition("@")
    return Path(f"{local_path(address)}{separator}{date}")


def _run(options: argparse.Namespace) -> int:
    if options.other is not None:
        return _print_comparison(options)
    if options.verdicts is not None:
        return _print_review(options)
    folder, separator, _ = str(options.folder).rpartition("@")
    if separator and not options.folder.exists() and Path(folder).is_dir():
        raise UserError(
            f"{options.folder}: a run as it was at a date can only be compared with a second run; name one, as in "
            f"avf-curate audit {shell_word(options.folder)} {shell_word(folder)}"
        )
    run = open_run(options)
    if options.html:
        _write_page(options, run)
    return print_funnel(options, run)


def _write_page(options: argparse.Namespace, run: Any) -> None:
    from avf_curation.audit.funnel import summarize_run
    from avf_curation.reports.audit_report import write_audit_report

    if options.excerpts < 0:
        raise UserError(f"--excerpts {options.excerpts}: must be at least 0")
    folders = input_folders(options, run)
    write_audit_report(
        run, summarize_run(run), options.html, seed=options.seed, excerpts=options.excerpts, roots=folders
    )
    _LOG.info("wrote %s", options.html)


def _print_review(options: argparse.Namespace) -> int:
    from avf_curation.audit.agreement import measure_agreement, merge_answers, read_answers
    from avf_curation.audit.review import review_as_json, score_review
    from avf_curation.console.review_tables import print_agreement, print_review
    from avf_curation.console.terminal import make_console

    files = read_answers(options.verdicts, open_run(options))
    review, verdicts = files[0].review, merge_answers(files)
    scores, agreement = score_review(review, verdicts), measure_agreement(files)
    if not write_answer(options, {"stages": review_as_json(scores), "agreement": agreement.as_json()}):
        console = make_console()
        print_review(console, scores, len(verdicts), len(review.items))
        print_agreement(console, agreement)
    return 0


def _print_comparison(options: argparse.Namespace) -> int:
    from avf_curation.audit.compare import compare_backends, compare_ledgers
    from avf_curation.console.comparison_lines import print_comparison
    from avf_curation.console.terminal import make_console
    from avf_curation.runs.snapshots import load_backends, load_ledgers

    names = str(options.folder), str(options.other)
    comparison = replace(compare_ledgers(*load_ledgers(*names)), backends=compare_backends(*load_backends(*names)))
    if not write_answer(options, comparison.as_json()):
        print_comparison(make_console(), comparison)
    return 0
