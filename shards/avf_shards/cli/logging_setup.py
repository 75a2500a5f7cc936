"""Logging of the three command lines: options, levels, formats, and the progress line of a terminal."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal

from avf_shards.system.mirror_registry import name_addresses
from avf_shards.system.run_lock import WAITING_LOG
from avf_shards.text import printable, printable_json, printable_lines

PACKAGES = ("avf_shards", "avf_curation", "avf_training")
# Folders whose INFO messages say what a command is doing: they are shown without -v.
SHOWN_AT_INFO = ("cli", "console", "demo")
# Loggers of a command that stands still: their warnings are shown under -q too.
SHOWN_WHEN_QUIET = (WAITING_LOG.name,)
# Holds the level of our loggers for worker processes.
LEVEL_VARIABLE = "AVF_LOG_LEVEL"


def add_logging_options(parser: argparse.ArgumentParser, level: Literal["program", "group", "command"]) -> None:
    """Add -v, -q and --log-json, which may stand before or after each word of a command.

    The values of a subcommand's parser replace those of the parsers before it. So only the program's parser has
    defaults here, and each level counts -v under a name of its own, which `verbosity` adds up.
    """
    options = parser.add_argument_group("messages on standard error")
    default = False if level == "program" else argparse.SUPPRESS
    options.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=0,
        dest=f"{level}_verbose",
        help="say what happens, with time and module; -vv adds details and the messages of libraries",
    )
    options.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        default=default,
        help="show only errors and why the command waits, and no progress bar",
    )
    options.add_argument(
        "--log-json",
        action="store_true",
        default=default,
        help="write each message as a JSON object on a line of its own: time, level, logger, message",
    )


def count_verbose(options: argparse.Namespace) -> int:
    """Return how often -v was given."""
    return sum(getattr(options, f"{level}_verbose", 0) for level in ("program", "group", "command"))


class JsonFormatter(logging.Formatter):
    """Formats a log record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": name_addresses(record.getMessage()),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return printable_json(json.dumps(entry, ensure_ascii=False))


class PrintableFormatter(logging.Formatter):
    """Formats a log record so that no name in it steers a terminal or begins a line of the log."""

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(name_addresses(super().format(record)), indent="  ")


class _ProgressLine:
    """The text of `show_progress` that the terminal shows now."""

    text = ""


_PROGRESS_LINE = _ProgressLine()


class _StandardErrorHandler(logging.Handler):
    """Writes to what `sys.stderr` is at that moment: a live progress bar replaces it to keep messages above the bar."""

    def __init__(self, formatter: logging.Formatter, *, draws_progress: bool) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.draws_progress = draws_progress

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print_message(self.format(record))
        except Exception:
            self.handleError(record)


@contextmanager
def setup_logging(program: str, options: argparse.Namespace) -> Iterator[None]:
    """Send log messages to standard error as the options say, and restore the earlier state at the end."""
    verbosity = count_verbose(options)
    levels = _levels(verbosity, quiet=options.quiet)
    handler = _StandardErrorHandler(
        _formatter(program, verbosity, as_json=options.log_json),
        draws_progress=not (options.quiet or options.log_json),
    )
    earlier = {name: logging.getLogger(name).level for name in levels}
    earlier_variable = os.environ.get(LEVEL_VARIABLE)
    logging.getLogger().addHandler(handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    os.environ[LEVEL_VARIABLE] = logging.getLevelName(levels[PACKAGES[0]])
    # A warning of Python's `warnings` module is no line of JSON, and no error.
    logging.captureWarnings(options.quiet or options.log_json)
    try:
        yield
    finally:
        show_progress("")  # an error leaves the line, and a shell's prompt would continue it
        logging.captureWarnings(False)
        logging.getLogger().removeHandler(handler)
        for name, level in earlier.items():
            logging.getLogger(name).setLevel(level)
        if earlier_variable is None:
            os.environ.pop(LEVEL_VARIABLE, None)
        else:
            os.environ[LEVEL_VARIABLE] = earlier_variable


def setup_worker_logging() -> None:
    """Log to the standard error of this worker process, at the level of the command that started it."""
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler])
    for package in PACKAGES:
        logging.getLogger(package).setLevel(worker_level())


def worker_level() -> str:
    """Return the name of the level that worker processes log at."""
    return os.environ.get(LEVEL_VARIABLE, "WARNING")


def _levels(verbosity: int, *, quiet: bool) -> dict[str, int]:
    """Return the level of each logger by its name; the empty name is the root, to which libraries belong."""
    if quiet:
        levels = dict.fromkeys(("", *PACKAGES, *_loggers_shown_at_info()), logging.ERROR)
        return levels | dict.fromkeys(SHOWN_WHEN_QUIET, logging.WARNING)
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbosity, 2)]
    return (
        {"": logging.INFO if verbosity >= 2 else logging.WARNING}
        | dict.fromkeys(PACKAGES, level)
        | dict.fromkeys(_loggers_shown_at_info(), min(level, logging.INFO))
    )


def _loggers_shown_at_info() -> list[str]:
    return [f"{package}.{folder}" for package in PACKAGES for folder in SHOWN_AT_INFO]


def _formatter(program: str, verbosity: int, *, as_json: bool) -> logging.Formatter:
    if as_json:
        return JsonFormatter()
    if verbosity:
        return PrintableFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S")
    return PrintableFormatter(f"{program}: %(message)s")


def draws_progress() -> bool:
    """Return True where a progress bar may be drawn: on a terminal, without --quiet and --log-json."""
    handlers = [each for each in logging.getLogger().handlers if isinstance(each, _StandardErrorHandler)]
    return sys.stderr.isatty() and all(handler.draws_progress for handler in handlers)


def show_progress(text: str) -> None:
    """Show a text in one line of the terminal instead of the text before; an empty one removes the line.

    Does nothing where no progress is drawn.
    """
    if not draws_progress() or text == _PROGRESS_LINE.text == "":
        return
    _PROGRESS_LINE.text = printable(text)
    print(f"\r{_PROGRESS_LINE.text}\033[K", end="", file=sys.stderr, flush=True)


def print_message(text: str) -> None:
    """Print lines of text on standard error, above the line of `show_progress`."""
    # That line is erased first and drawn again, or the message would continue it.
    line = _PROGRESS_LINE.text
    erase, redraw = ("\r\033[K", line) if line else ("", "")
    print(f"{erase}{text}\n{redraw}", end="", file=sys.stderr, flush=True)


@contextmanager
def progress_line() -> Iterator[Callable[[str], None]]:
    """Yield `show_progress`; at the end, the last text stays as a line of its own."""
    try:
        yield show_progress
    finally:
        if _PROGRESS_LINE.text:
            print(file=sys.stderr)
            _PROGRESS_LINE.text = ""
