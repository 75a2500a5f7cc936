"""The console that every table prints to."""

import os
import sys
from collections.abc import Iterable
from typing import IO, cast

from avf_shards.cli.standard_output import StyledOutput
from avf_shards.text import printable_lines
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

_PIPE_COLUMNS = 500  # a table is only as wide as its values


class _PrintableConsole(Console):
    """A console that escapes the control characters of all that it shows, whoever forgot to."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable_lines(text), style, control)


def make_console(width: int | None = None) -> Console:
    """Return a console on standard output that prints text without interpreting markup or emoji codes in it.

    Args:
        width: characters in a line; None takes the width of the terminal; in a file or a pipe nothing is cut.
    """
    if width is None and not sys.stdout.isatty() and "COLUMNS" not in os.environ:
        width = _PIPE_COLUMNS
    return _PrintableConsole(
        file=cast(IO[str], StyledOutput()), highlight=False, soft_wrap=True, emoji=False, markup=False, width=width
    )
