"""avf-curate review: a page of sampled clips for people to judge."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command
from avf_shards.cli.logging_setup import progress_line
from avf_shards.cli.paths import local_path, output_folder
from avf_shards.errors import UserError

from avf_curation.cli.options import add_inputs_option, add_run_argument, input_folders, open_run, require_videos
from avf_curation.reports.output_folder import check_new_folder


def add(commands: Any) -> None:
    """Add `review`."""
    parser = add_command(
        commands,
        "review",
        _run,
        help="Write a page of sampled clips on which people judge decisions as right, wrong or unsure.",
        details="The page works in a browser without a network. `avf-curate audit RUN --verdicts FILE` reads the file "
        "that it saves, and the files of several reviewers together. The folder also has tasks and a labeling "
        "interface for Label Studio; --from-label-studio turns its JSON export into files for `audit`.",
    )
    add_run_argument(parser)
    parser.add_argument(
        "--sample",
        metavar="N",
        type=int,
        default=200,
        help="number of spans, shared out over sources and reasons (default: %(default)s)",
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="seed of the sample (default: %(default)s)")
    parser.add_argument(
        "--out", metavar="DIR", type=output_folder, required=True, help="new folder for the page and its clips"
    )
    parser.add_argument(
        "--from-label-studio",
        metavar="FILE",
        type=local_path,
        help="write no page, but a file of answers of each annotator of a project that Label Studio exported as JSON",
    )
    add_inputs_option(parser)
    parser.set_defaults(stopped="stopped; nothing is written, and the same command starts from the beginning")


def _run(options: argparse.Namespace) -> int:
    check_new_folder(options.out)
    if options.sample < 1:
        raise UserError(f"--sample {options.sample}: must be at least 1")
    if options.seed < 0:
        raise UserError(f"--seed {options.seed}: must be at least 0")
    if options.from_label_studio is not None:
        return _import_answers(options)
    from avf_curation.audit.review import sample_review
    from avf_curation.reports.review_sheet import write_review_sheet

    run = open_run(options)
    require_videos(run, "the contact sheets of `avf-curate audit --html` show sampled pictures of each verdict")
    folders = input_folders(options, run)
    review = sample_review(run, options.sample, options.seed)
    with progress_line() as show:
        page = write_review_sheet(
            run, review, options.out, folders, lambda done: show(f"{done}/{len(review.items)} clips")
        )
    print(page)
    return 0


def _import_answers(options: argparse.Namespace) -> int:
    from avf_curation.reports.label_studio import import_label_studio

    for path in import_label_studio(options.from_label_studio, options.out, open_run(options)):
        print(path)
    return 0
