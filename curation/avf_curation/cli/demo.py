"""avf-curate demo: the whole way from raw video to verified shards, on a small corpus that is made for it."""

import argparse
import os
from typing import Any

from avf_shards.cli.common import add_command
from avf_shards.cli.paths import output_folder

from avf_curation.cli.options import STOPPED_BETWEEN_UNITS


def add(commands: Any) -> None:
    """Add `demo`."""
    parser = add_command(
        commands,
        "demo",
        _run,
        help="Make a small corpus, curate it, pack and verify the shards, write the audit page.",
        details="Nothing is downloaded. It takes a few minutes.",
    )
    parser.set_defaults(stopped=STOPPED_BETWEEN_UNITS)
    parser.add_argument(
        "--out", metavar="DIR", type=output_folder, required=True, help="folder of the demo; made if missing"
    )
    parser.add_argument(
        "--engine",
        choices=("ray", "inline"),
        default="ray",
        help="ray: worker processes; inline: this process alone (default: %(default)s)",
    )
    parser.add_argument("--workers", metavar="N", type=int, help="number of workers (default: one for each CPU)")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument(
        "--labelled", action="store_true", help="make two corpora with emotion labels instead, for avf-train study"
    )
    kinds.add_argument(
        "--frames",
        action="store_true",
        help="make videos and face pictures of people with labels of every frame instead, for the frame-by-frame "
        "commands of avf-train",
    )
    kinds.add_argument(
        "--forged",
        action="store_true",
        help="make real and forged videos of drawn people instead, with the truth of every moment, for deepfake "
        "detection",
    )


def _run(options: argparse.Namespace) -> int:
    from avf_shards.system.arrow_start import keep_pandas_out

    keep_pandas_out()
    from avf_curation.demo.demo import forged_demo, frames_demo, labelled_demo, run_demo, unlabelled_demo

    if options.forged:
        demo = forged_demo()
    else:
        demo = labelled_demo() if options.labelled else frames_demo() if options.frames else unlabelled_demo()
    return run_demo(options.out, options.engine, options.workers or os.cpu_count() or 1, demo)
