"""avf-curate plan: list the inputs of a run and freeze the list."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, write_answer

from avf_curation.cli.options import add_source_options, load_inputs


def add(commands: Any) -> None:
    """Add `plan`."""
    parser = add_command(
        commands,
        "plan",
        _run,
        help="List the inputs of a run and freeze the list.",
        details="Nothing is decoded: names, sizes and times are enough, and the first bytes of files with an unknown "
        "extension. `run` and `estimate` plan by themselves.",
    )
    add_source_options(parser)
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_shards.deletion.requests import read_deny_files
    from avf_shards.deletion.unmatched import warn_unmatched

    from avf_curation.console.run_tables import plan_rows, print_plan
    from avf_curation.console.terminal import make_console
    from avf_curation.runs.planning import InputChoice, plan_run

    recipe, backends, sources = load_inputs(options)
    choice = InputChoice(
        allow_unreadable=options.allow_unreadable,
        follow_symlinks=options.follow_symlinks,
        deny=read_deny_files(options.deny),
    )
    plan = plan_run(recipe, backends, sources, options.out, choice=choice)
    if options.deny:
        warn_unmatched(options.deny, plan.table)
    skipped = [vars(item) for item in plan.skipped_inputs]
    if not write_answer(options, {"sources": plan_rows(plan), "skipped_inputs": skipped}):
        print_plan(make_console(), plan)
    return 0
