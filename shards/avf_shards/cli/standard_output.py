"""Standard output on which no name steers a terminal, and whose errors say that they are its own.

Its errors are a reader of a pipe that has ended and a disk that is full. Any other broken pipe, such as that of a
worker process that died, stays an error.
"""

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from avf_shards.system.mirror_registry import name_addresses
from avf_shards.text import printable_lines


class ClosedOutputError(OSError):
    """The reader of standard output, such as `head`, has ended. It is no fault of the command.

    It is no BrokenPipeError, which rich would answer by ending the process with status 1.
    """


class _CheckedOutput:
    """Passes text on to a stream with its control characters escaped, and names standard output in errors of writes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._failure: OSError | None = None  # is raised by each later call: argparse ignores the error of a write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self.write_styled(printable_lines(text))
        return len(text)

    def write_styled(self, text: str) -> None:
        """Write text as it is: the caller has escaped the names in it, and the colours are its own.

        Only the folders of mirrors get the names of their addresses.
        """
        self._call(self._stream.write, name_addresses(text))

    def flush(self) -> None:
        self._call(self._stream.flush)

    def _call(self, method: Callable[..., Any], *values: str) -> Any:
        if self._failure is None:
            try:
                return method(*values)
            except BrokenPipeError as error:
                self._failure = ClosedOutputError(*error.args)
            except OSError as error:
                self._failure = OSError(error.errno, error.strerror, "standard output")
            self._discard()
        raise self._failure

    def _discard(self) -> None:
        """Send what is still in the buffer, and all later output, nowhere: Python would fail again when it exits."""
        with suppress(io.UnsupportedOperation), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())


class StyledOutput:
    """Standard output for a console that colours text and escapes names itself."""

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stdout, name)

    def write(self, text: str) -> int:
        write = sys.stdout.write_styled if isinstance(sys.stdout, _CheckedOutput) else sys.stdout.write
        write(text)
        return len(text)


@contextmanager
def check_output() -> Iterator[None]:
    """Raise ClosedOutputError, or an OSError that names standard output, for its errors inside the block."""
    earlier = sys.stdout
    if earlier is None:  # the caller closed standard output
        yield
        return
    # A terminal that is not UTF-8 shows an escape for what it has no character for.
    if isinstance(earlier, io.TextIOWrapper) and earlier.errors == "strict":
        earlier.reconfigure(errors="backslashreplace")
    sys.stdout = cast(TextIO, _CheckedOutput(earlier))
    try:
        yield
    finally:
        sys.stdout = earlier


def flush_output() -> None:
    """Write what the buffer of standard output holds. Raises as `check_output` says."""
    if sys.stdout is not None:
        sys.stdout.flush()


@contextmanager
def forgive_closed_output() -> Iterator[None]:
    """Print in this block an answer that the exit status repeats: the status counts also where nobody reads on."""
    with suppress(ClosedOutputError):
        yield
