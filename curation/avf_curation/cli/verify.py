"""avf-curate verify: compare every committed file of a run with its digest."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, print_answer
from avf_shards.text import printable

from avf_curation.cli.options import add_run_argument, open_run


def add(commands: Any) -> None:
    """Add `verify`."""
    parser = add_command(
        commands,
        "verify",
        _run,
        help="Check every committed byte of a run.",
        details="Compares the plan, the ledgers, the clips or pictures and the decisions of each unit with the "
        "digests that were written with them, and names each damaged or missing file and each unit that the plan of a "
        "finished attempt or the log has and that has no folder. Exits with 1 where there is any.",
    )
    add_run_argument(parser)
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_shards.packing.run_verification import verify_run

    from avf_curation.runs.unit_log import lost_units

    run = open_run(options)
    faults = verify_run(run)
    missing = {fault.partition(":")[0] for fault in faults}
    faults += [fault for fault in lost_units(run) if fault.partition(":")[0] not in missing]
    text = "\n".join(map(printable, faults)) if faults else f"{run.root}: every committed file is as it was written"
    print_answer(options, {"faults": faults}, text)
    return 1 if faults else 0
