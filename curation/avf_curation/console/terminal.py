"""The console that every table and the progress bar print to."""

import os
import sys
from collections.abc import Iterable
from typing import IO, cast

from avf_shards.cli.standard_output import StyledOutput
from avf_shards.text import printable_lines
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

_PIPE_COLUMNS = 500  # in a file or a pipe nothing is cut, and a table is only as wide as its values


class _PrintableConsole(Console):
    """A console that escapes the control characters of all that it shows, whoever forgot to."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable_lines(text), style, control)


def make_console(*, stderr: bool = False) -> Console:
    """Return a console on standard output or standard error that prints names from outside as plain text."""
    stream = sys.stderr if stderr else sys.stdout
    return _PrintableConsole(
        file=None if stderr else cast(IO[str], StyledOutput()),
        stderr=stderr,
        highlight=False,
        soft_wrap=True,
        emoji=False,
        markup=False,
        width=table_width(stream.isatty()),
    )


def table_width(is_terminal: bool) -> int | None:
    """Return the width of tables: None for that of the terminal; wide enough for whole values in a file or a pipe."""
    return None if is_terminal or "COLUMNS" in os.environ else _PIPE_COLUMNS
