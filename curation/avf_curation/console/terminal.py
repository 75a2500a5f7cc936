"""The console that every table and the progress bar print to."""

import os
import sys

from rich.console import Console

_PIPE_COLUMNS = 500  # in a file or a pipe nothing is cut, and a table is only as wide as its values


def make_console(*, stderr: bool = False) -> Console:
    """Return a console on standard output or standard error that prints names from outside as they are."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(
        stderr=stderr, highlight=False, soft_wrap=True, emoji=False, markup=False, width=table_width(stream.isatty())
    )


def table_width(is_terminal: bool) -> int | None:
    """Return the width of tables: None for that of the terminal; wide enough for whole values in a file or a pipe."""
    return None if is_terminal or "COLUMNS" in os.environ else _PIPE_COLUMNS
