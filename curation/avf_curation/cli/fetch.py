"""avf-curate fetch: download the videos of a corpus whose owners publish a list of ids and ranges."""

import argparse
import logging
import math
import sys
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, write_answer
from avf_shards.cli.logging_setup import progress_line
from avf_shards.cli.paths import local_path, output_folder

log = logging.getLogger(__name__)

_CORPORA = ("voxceleb2", "avspeech", "celebvhq")
_SHOWN_ROWS = 10
_TEMPLATE = "https://www.youtube.com/watch?v={id}"


def add(commands: Any) -> None:
    """Add `fetch`."""
    parser = add_command(
        commands,
        "fetch",
        _run,
        help="Download the videos that a corpus' list of ids and ranges names.",
        details="DIR is laid out as the source of this name reads it. A second call goes on: files that are there "
        "stay, and videos that are gone are not asked for again. Needs the extra `fetch` (yt-dlp), and ffmpeg on the "
        "PATH to cut ranges. The command knows nothing about your rights. Exit status 2: something is left for another "
        "call.",
    )
    parser.add_argument("source", metavar="SOURCE", choices=_CORPORA, help=f"the corpus: {', '.join(_CORPORA)}")
    parser.add_argument(
        "--ids",
        metavar="FILE",
        type=local_path,
        required=True,
        help="the list as its owners publish it, or a part of it in the same form: avspeech_train.csv, "
        "celebvhq_info.json, or VoxCeleb2's folder txt/",
    )
    parser.add_argument("--out", metavar="DIR", type=output_folder, required=True, help="folder of the corpus")
    parser.add_argument(
        "--accept-licence",
        action="store_true",
        help="you have read the terms of the list, which the command prints, and accept them",
    )
    parser.add_argument(
        "--complete",
        action="store_true",
        help="download complete videos in place of their ranges; `avf-curate run` cuts the ranges (not VoxCeleb2)",
    )
    parser.add_argument(
        "--pause",
        metavar="SECONDS",
        type=_amount,
        default=5.0,
        help="wait between two downloads, and up to a second between the requests of each (default: %(default)g)",
    )
    parser.add_argument(
        "--rate",
        metavar="MB",
        type=_amount,
        default=4.0,
        help="most megabytes per second with --complete; 0: no limit; ffmpeg, which cuts ranges, knows none "
        "(default: %(default)g)",
    )
    parser.add_argument("--limit", metavar="N", type=_count, help="ask for at most N files in this call")
    parser.add_argument(
        "--again", action="store_true", help="ask again for what is gone, and for what is no longer in DIR"
    )
    parser.add_argument(
        "--url-template",
        metavar="URL",
        type=_template,
        default=_TEMPLATE,
        help="address of an id, with {id} in it, of a mirror (default: %(default)s)",
    )
    add_json_option(parser)


def _amount(text: str) -> float:
    """Return a number of at least zero."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: must be a number from 0 on")
    return value


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number from 1 on")
    return int(text)


def _template(text: str) -> str:
    """Return the address of an id."""
    if not text.startswith(("http://", "https://")) or text.count("{id}") != 1:
        raise argparse.ArgumentTypeError(f"{text}: must begin with http:// or https:// and have {{id}} in it, once")
    return text


def _run(options: argparse.Namespace) -> int:
    from avf_curation.fetching.downloads import DownloadSettings
    from avf_curation.fetching.fetch import FetchSettings, fetch_corpus
    from avf_curation.fetching.licences import LICENCES

    print(LICENCES[options.source], file=sys.stderr)
    if not options.accept_licence:
        log.error("nothing was downloaded; read these terms, and give --accept-licence where you accept them")
        return 2
    settings = FetchSettings(
        download=DownloadSettings(
            url_template=options.url_template,
            rate_mb_s=options.rate,
            request_pause_s=min(options.pause, 1.0),
        ),
        complete=options.complete,
        pause_s=options.pause,
        limit=options.limit,
        again=options.again,
    )
    with progress_line() as show:
        report = fetch_corpus(
            options.source,
            options.ids,
            options.out,
            settings,
            lambda done, total, name: show(f"{done} of {total} {name}"),
        )
    _write_report(options, report)
    return 0 if report.is_finished else 2


def _write_report(options: argparse.Namespace, report: Any) -> None:
    from avf_shards.text import printable

    left = report.files - len(report.outcomes)
    values = {
        "files": report.files,
        "not_asked_for": left,
        "outcomes": report.counts,
        "stopped": report.stopped,
        "missing": {
            path: {"outcome": outcome.kind, "reason": outcome.reason}
            for path, outcome in report.outcomes.items()
            if outcome.kind != "fetched"
        },
        "skipped_rows": report.skipped_rows,
    }
    if not write_answer(options, values):
        for kind, number in report.counts.items():
            print(f"{kind:<14}{number:>9,}{f'   {report.new[kind]:,} in this call' if report.new[kind] else ''}")
        print(f"{'not asked for':<14}{left:>9,}")
        for row in report.skipped_rows[:_SHOWN_ROWS]:
            print(f"no download: {printable(row)}")
        if len(report.skipped_rows) > _SHOWN_ROWS:
            print(f"no download: {len(report.skipped_rows) - _SHOWN_ROWS:,} more rows; --json lists them")
        print(f"each file with its outcome: {printable(str(options.out / '.fetch' / 'archive.tsv'))}")
        print(f"read it with: avf-curate sources check {options.source}={printable(str(options.out))}")
    if report.stopped:
        log.error("%s", printable(report.stopped))
    elif not report.is_finished:
        log.warning("something is left; the same command goes on")
