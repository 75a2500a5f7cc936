"""avf-train parity: compare our models with numbers that the authors' code computed."""

import argparse
from pathlib import Path
from typing import Any

from avf_shards.cli.common import add_command
from avf_shards.cli.paths import local_path, output_file
from avf_shards.cli.standard_output import forgive_closed_output

from avf_training.cli.options import require_files

DEFAULT_PAGE = Path("docs/parity.md")


def add(commands: Any) -> None:
    """Add `parity`."""
    parser = add_command(
        commands,
        "parity",
        _run,
        help="Compare models of avf-train with numbers that the authors' code computed.",
        details="Exits with 1 where a difference is above its tolerance.",
    )
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        type=local_path,
        help="numbers that the authors' code computed, .npz or .json",
    )
    parser.add_argument(
        "--page",
        metavar="FILE",
        type=output_file,
        help=f"page to write the table to (default: {DEFAULT_PAGE} if it exists)",
    )


def _run(options: argparse.Namespace) -> int:
    require_files(*options.files)
    # After what is refused quickly: this loads torch.
    from avf_training.console.training_tables import fill_page, print_parity
    from avf_training.framewise.parity.dispatch import compare

    rows = [row for file in options.files for row in compare(file)]
    with forgive_closed_output():
        print_parity(rows)
    if options.page or DEFAULT_PAGE.is_file():
        fill_page(options.page or DEFAULT_PAGE, rows)
    return 0 if all(row.passed for row in rows) else 1
