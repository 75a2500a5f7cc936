"""avf-curate calibrate: thresholds for one source from the scores that a run measured."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, write_answer

from avf_curation.cli.options import add_run_argument, open_run


def add(commands: Any) -> None:
    """Add `calibrate`."""
    parser = add_command(
        commands,
        "calibrate",
        _run,
        help="Propose thresholds for one source, by the share of its spans that should pass each check.",
    )
    add_run_argument(parser)
    parser.add_argument("--source", metavar="NAME", required=True, help="name of the source")
    parser.add_argument(
        "--keep",
        metavar="SHARE",
        type=float,
        default=0.8,
        help="share of the spans, 0 to 1, that should pass each check (default: %(default)g)",
    )
    parser.add_argument(
        "--check", metavar="STAGE/REASON", action="append", help="a check; repeat for more (default: all checks)"
    )
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_curation.audit.calibrate import propose_thresholds
    from avf_curation.console.terminal import make_console
    from avf_curation.console.threshold_tables import print_calibration

    calibration = propose_thresholds(open_run(options).ledger(), options.source, options.keep, options.check)
    if not write_answer(options, calibration.as_json()):
        print_calibration(make_console(), calibration)
    return 0
