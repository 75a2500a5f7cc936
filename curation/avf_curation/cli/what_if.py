"""avf-curate what-if: the decisions that other thresholds would have given."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, write_answer

from avf_curation.cli.options import add_run_argument, add_set_option, open_run


def add(commands: Any) -> None:
    """Add `what-if`."""
    parser = add_command(
        commands,
        "what-if",
        _run,
        help="Decide a finished run with other thresholds, for each source, without reading any video or picture.",
        details="A stricter threshold is exact. What only a new run could know is counted as unknown.",
        epilog="example:\n  avf-curate what-if RUN --set quality.min_sharpness=40",
    )
    add_run_argument(parser)
    add_set_option(parser, "a threshold, as in --set quality.min_sharpness=40; repeat for more")
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_curation.audit.what_if import parse_request, what_if_run
    from avf_curation.console.terminal import make_console
    from avf_curation.console.threshold_tables import print_what_if
    from avf_curation.recipe import stages_of_run

    run = open_run(options)
    result = what_if_run(run, parse_request(options.set, run.identity()))
    if not write_answer(options, result.as_json()):
        print_what_if(make_console(), result, run.identity().content, stages_of_run(run.identity()))
    return 0
