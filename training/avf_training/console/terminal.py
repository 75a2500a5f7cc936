"""The console that every table prints to."""

import os
import sys

from rich.console import Console

_PIPE_COLUMNS = 500  # a table is only as wide as its values


class PipeConsole(Console):
    """A console that leaves a broken pipe to its caller, which ends with status 0; rich would exit with status 1."""

    def on_broken_pipe(self) -> None:
        exception = sys.exception()
        assert exception is not None, "rich calls this while it handles a BrokenPipeError"
        raise exception


def make_console(width: int | None = None) -> Console:
    """Return a console on standard output that prints text without interpreting markup or emoji codes in it.

    Args:
        width: characters in a line; None takes the width of the terminal; in a file or a pipe nothing is cut.
    """
    if width is None and not sys.stdout.isatty() and "COLUMNS" not in os.environ:
        width = _PIPE_COLUMNS
    return PipeConsole(highlight=False, soft_wrap=True, emoji=False, markup=False, width=width)
