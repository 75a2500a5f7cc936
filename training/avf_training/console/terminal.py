"""The console that every table prints to."""

from rich.console import Console


def make_console(width: int | None = None) -> Console:
    """Return a console on standard output that prints text without interpreting markup or emoji codes in it.

    Args:
        width: characters in a line; None takes the width of the terminal.
    """
    return Console(highlight=False, soft_wrap=True, emoji=False, markup=False, width=width)
