"""avf-curate gates: precision and recall of each gate on spans of which the user knows the truth."""

import argparse
from pathlib import Path
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, write_answer

from avf_curation.cli.options import add_run_argument, open_run


def add(commands: Any) -> None:
    """Add `gates`."""
    parser = add_command(
        commands,
        "gates",
        _run,
        help="Tell how often each gate is right, from a table of what is true of spans of a run's files.",
    )
    add_run_argument(parser)
    parser.add_argument(
        "truth",
        metavar="TRUTH",
        type=Path,
        help="a CSV with the columns file, start_s, stop_s, gate (stage/reason) and truth (good or bad)",
    )
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_curation.audit.gates import judge_gates, read_labelled_spans, summarize_gates
    from avf_curation.console.gate_tables import print_gates
    from avf_curation.console.terminal import make_console
    from avf_curation.recipe import stages_of_run
    from avf_curation.stages.added_stages import reasons_with

    run = open_run(options)
    spans = read_labelled_spans(options.truth, reasons_with(stages_of_run(run.identity())))
    figures = summarize_gates(judge_gates(run.ledger(), spans))
    if not write_answer(options, {"gates": [gate.as_json() for gate in figures]}):
        print_gates(make_console(), figures)
    return 0
