"""Functions that the three command lines share: parsers, exit status, error messages and JSON output."""

import argparse
import json
import logging
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO

from avf_shards.cli.logging_setup import add_logging_options, count_verbose, setup_logging
from avf_shards.cli.missing_package import DISTRIBUTION, describe_missing_package
from avf_shards.cli.paths import forget_addresses, is_output_file, open_named_mirrors, own_file, writes_file
from avf_shards.cli.standard_output import ClosedOutputError, check_output, flush_output
from avf_shards.errors import FaultError, UserError
from avf_shards.system.durable_io import AlreadyExistsError
from avf_shards.system.named_writes import write_text
from avf_shards.system.own_files import OwnFile, read_json_value
from avf_shards.system.platforms import WINDOWS_REFUSAL, is_windows
from avf_shards.text import printable_json, printable_lines

EXIT_STATUS = """\
exit status:
  0    the command did what it says
  1    it found faults or damaged data
  2    it cannot do that; one sentence says why
  130  Ctrl-C stopped it
"""


class PrintableParser(argparse.ArgumentParser):
    """A parser whose messages on standard error repeat arguments without their control characters.

    Options that write files must name different ones, and none that the same command reads.
    """

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        super().exit(status, message and printable_lines(message))

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        options, rest = super().parse_known_args(args, namespace)
        self._require_different_files(options)
        return options, rest

    def _require_different_files(self, options: argparse.Namespace) -> None:
        """Stop with a message where an option would write over the output of another, or over an input."""
        outputs, inputs = dict[str, str](), dict[str, str]()  # real path -> option that names it
        for action in sorted(self._actions, key=is_output_file):  # inputs first
            name = action.option_strings[0] if action.option_strings else str(action.metavar or action.dest)
            value = getattr(options, action.dest, None)
            for path in value if isinstance(value, list) else [value]:
                if not is_output_file(action):
                    if isinstance(path, Path):
                        inputs[os.path.realpath(path)] = name
                elif path is not None and str(path) != "-" and (not os.path.exists(path) or os.path.isfile(path)):
                    real = os.path.realpath(path)
                    if real in inputs:
                        self.error(f"argument {name}: {path} is the file of {inputs[real]}; name another file")
                    if real in outputs:
                        self.error(f"argument {name}: {path} is written by {outputs[real]}; name another file")
                    outputs[real] = name


class HelpFormatter(argparse.HelpFormatter):
    """Wraps the paragraphs of a help text to the width of the terminal and keeps blocks with an indented line."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        blocks = text.strip("\n").split("\n\n")
        return "\n\n".join(
            textwrap.indent(block if "\n  " in f"\n{block}" else textwrap.fill(" ".join(block.split()), width), indent)
            for block in blocks
        )


class _PrintVersion(argparse.Action):
    """`--version`: reads the version only when somebody asks, because the package metadata take time to find."""

    def __init__(self, option_strings: Sequence[str], dest: str, **settings: Any) -> None:
        super().__init__(option_strings, dest=argparse.SUPPRESS, nargs=0, help="print the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *unused: Any) -> None:
        import importlib.metadata

        print(f"{parser.prog} {importlib.metadata.version(DISTRIBUTION)}")
        parser.exit()


def make_parser(program: str, description: str, examples: str) -> tuple[argparse.ArgumentParser, Any]:
    """Return the parser of a program and the object that its subcommands are added to.

    Args:
        examples: command lines that run as they are, one a line.
    """
    epilog = f"examples:\n{textwrap.indent(textwrap.dedent(examples).strip(), '  ')}\n\n{EXIT_STATUS}"
    parser = PrintableParser(prog=program, description=description, epilog=epilog, formatter_class=HelpFormatter)
    parser.add_argument("--version", action=_PrintVersion)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    add_logging_options(parser, "program")
    return parser, commands


def add_command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    *,
    help: str,
    details: str = "",
    epilog: str = "",
) -> argparse.ArgumentParser:
    """Add one subcommand and return its parser.

    Args:
        run: does the work of the parsed options and returns the exit status.
        help: one sentence, for the list of commands and as the first paragraph of the command's own help.
        details: further paragraphs of the command's own help.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=help, description=f"{help}\n\n{details}", epilog=epilog, formatter_class=HelpFormatter
    )
    add_logging_options(parser, "command")
    parser.set_defaults(run=run)
    return parser


def add_command_group(commands: Any, name: str, *, help: str) -> Any:
    """Add a subcommand that has subcommands of its own, as `weights ls`; return the object that these are added to."""
    parser = commands.add_parser(name, help=help, description=help, formatter_class=HelpFormatter)
    add_logging_options(parser, "group")
    return parser.add_subparsers(required=True, metavar="COMMAND", title="commands")


def run_command(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    *,
    stopped: str,
    run: Callable[[argparse.Namespace], int] = lambda options: int(options.run(options)),
) -> int:
    """Parse the arguments, run the subcommand and return the exit status.

    Args:
        arguments: the words after the program's name; None takes them from the process.
        stopped: the message after Ctrl-C, unless the subcommand's parser has a default `stopped` of its own.
        run: runs the subcommand of the parsed options.
    """
    if is_windows():  # before any subcommand imports what only other systems have
        parser.exit(2, f"{parser.prog}: {WINDOWS_REFUSAL}\n")
    _complete_in_shell(parser)
    with check_output():
        try:
            options = _parse_arguments(parser, arguments)
        except ClosedOutputError:
            return 0
        except OSError as error:
            parser.exit(2, f"{parser.prog}: {_describe_os_error(error)}\n")
        with setup_logging(parser.prog, options):
            return _run_parsed(parser.prog, options, getattr(options, "stopped", stopped), run)


def _parse_arguments(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    forget_addresses()  # of an earlier command of this process
    try:
        options = parser.parse_args(arguments)
    finally:
        flush_output()  # --help and --version have written, and are about to exit
    if options.quiet and count_verbose(options):
        parser.error("argument -q/--quiet: not allowed with argument -v/--verbose")
    return options


def _run_parsed(
    program: str, options: argparse.Namespace, stopped: str, run: Callable[[argparse.Namespace], int]
) -> int:
    """Run the subcommand, write its error as a message, and return the exit status."""
    log = logging.getLogger(options.run.__module__)
    status = 0
    try:
        with open_named_mirrors():
            status = run(options)
        flush_output()
        return status
    except UserError as error:
        log.error("%s", error)
        return 2
    except FaultError as error:
        log.error("damaged data: %s", error)
        return 1
    except AlreadyExistsError as error:
        log.error(
            "%s: is in the way: a folder, a link to nothing, or another process's file; look at it, then move it away",
            error,
        )
        return 2
    except ClosedOutputError:
        return status
    except ModuleNotFoundError as error:
        sentence = describe_missing_package(program, error)
        if sentence is None:
            raise
        log.error("%s", sentence)
        return 2
    except OSError as error:
        log.error("%s", _describe_os_error(error))
        return 2
    except KeyboardInterrupt:
        log.error("%s", stopped)
        return 130


def _describe_os_error(error: OSError) -> str:
    return f"{error.filename}: {error.strerror or error}" if error.filename else f"{error.strerror or error}"


def _complete_in_shell(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that asks for completions, and exit; do nothing in any other process."""
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)


def set_completer(action: argparse.Action, names: Callable[[], Sequence[str]]) -> None:
    """Complete the values of an option with `names()`, and with files where its metavar says so, in a shell.

    The function must be fast: it runs at each Tab.
    """
    set_completer_of_words(action, lambda options: names())


def set_completer_of_words(action: argparse.Action, names: Callable[[argparse.Namespace], Sequence[str]]) -> None:
    """Complete as `set_completer` does, with `names` of the options that stand on the line so far."""

    def complete(prefix: str, parsed_args: argparse.Namespace, **unused: Any) -> list[str]:
        from argcomplete.completers import FilesCompleter

        files = FilesCompleter()(prefix) if "FILE" in str(action.metavar) else ()
        return [*names(parsed_args), *files]

    action.completer = complete  # type: ignore[attr-defined]  # argcomplete reads this attribute


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add `--json FILE`, which `write_answer` obeys."""
    parser.add_argument(
        "--json",
        metavar="FILE",
        type=writes_file(lambda text: text if text == "-" else str(own_file(lambda: _ANSWER)(text))),
        help="write the result as JSON to FILE ('-': to standard output)",
    )


def _is_answer(path: Path) -> bool:
    """Return whether a file is JSON in the layout of `to_json`, which is nobody else's."""
    values = read_json_value(path)
    return values is not None and path.read_bytes() == (to_json(values) + "\n").encode()


_ANSWER = OwnFile(noun="JSON that an option --json wrote", knows=_is_answer)


def write_answer(options: argparse.Namespace, values: Any) -> bool:
    """Write `values` where `--json` says. Return True for standard output, which must then hold nothing else."""
    if options.json == "-":
        print(to_json(values, ascii_only=not can_encode(sys.stdout)))
    elif options.json:
        write_text(Path(options.json), to_json(values) + "\n")
    return bool(options.json == "-")


def print_answer(options: argparse.Namespace, values: Any, text: str) -> None:
    """Write `values` where `--json` says, and print `text` unless standard output holds the JSON."""
    if not write_answer(options, values):
        print(text)


def can_encode(stream: TextIO) -> bool:
    """Return whether a text stream takes every character."""
    return (stream.encoding or "utf-8").lower().replace("_", "-").startswith("utf")


def to_json(values: Any, *, ascii_only: bool = False) -> str:
    """Return JSON with sorted keys and an indent of one: equal values give equal text.

    What steers a terminal is an escape in it.
    """
    return printable_json(json.dumps(values, indent=1, sort_keys=True, ensure_ascii=ascii_only))
