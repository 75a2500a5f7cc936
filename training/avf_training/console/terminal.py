"""The console that every table prints to."""

import os
import sys

from rich.console import Console

_PIPE_COLUMNS = 500  # a table is only as wide as its values


def make_console(width: int | None = None) -> Console:
    """Return a console on standard output that prints text without interpreting markup or emoji codes in it.

    Args:
        width: characters in a line; None takes the width of the terminal; in a file or a pipe nothing is cut.
    """
    if width is None and not sys.stdout.isatty() and "COLUMNS" not in os.environ:
        width = _PIPE_COLUMNS
    return Console(highlight=False, soft_wrap=True, emoji=False, markup=False, width=width)
