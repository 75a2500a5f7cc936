"""The console that every table and the progress bar print to."""

from rich.console import Console


def make_console(*, stderr: bool = False) -> Console:
    """Return a console on standard output or standard error that prints names from outside as they are."""
    return Console(stderr=stderr, highlight=False, soft_wrap=True, emoji=False, markup=False)
