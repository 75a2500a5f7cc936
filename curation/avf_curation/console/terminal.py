"""The console that every table and the progress bar print to."""

import sys

from rich.console import Console


class PipeConsole(Console):
    """A console that leaves a broken pipe to its caller, which ends with status 0; rich would exit with status 1."""

    def on_broken_pipe(self) -> None:
        exception = sys.exception()
        assert exception is not None, "rich calls this while it handles a BrokenPipeError"
        raise exception


def make_console(*, stderr: bool = False) -> Console:
    """Return a console on standard output or standard error that prints names from outside as they are."""
    return PipeConsole(stderr=stderr, highlight=False, soft_wrap=True, emoji=False, markup=False)
