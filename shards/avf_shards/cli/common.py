"""What every command line of the project does alike: errors as one sentence, an exit status, answers as JSON."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from avf_shards.errors import FaultError, UserError


def run_command(program: str, work: Callable[[], int], stopped: str, others: tuple[type[Exception], ...] = ()) -> int:
    """Exit status of `work`: its own, 1 = damaged data, 2 = cannot do that, 130 = Ctrl-C.

    stopped: the sentence for Ctrl-C. others: exceptions whose text is meant for users, like UserError's.
    """

    users: tuple[type[Exception], ...] = (UserError, *others)

    def complain(text: str) -> None:
        print(f"{program}: {text}", file=sys.stderr)

    try:
        status = work()
        sys.stdout.flush()
        return status
    except users as error:
        complain(str(error))
        return 2
    except FaultError as error:
        complain(f"damaged data: {error}")
        return 1
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        complain(f"{name}{error.strerror or error}")
        return 2
    except KeyboardInterrupt:
        complain(stopped)
        return 130


def json_option(parser: argparse.ArgumentParser) -> None:
    """Add `--json FILE`; `write_answer` obeys it."""
    parser.add_argument("--json", metavar="FILE", help="write the answer as JSON to FILE, '-' for standard output")


def write_answer(options: argparse.Namespace, values: Any) -> bool:
    """Write `values` where `--json` says. True when that was standard output, where nothing else belongs then."""
    if options.json == "-":
        print(to_json(values))
    elif options.json:
        Path(options.json).write_text(to_json(values) + "\n", "utf-8")
    return bool(options.json == "-")


def to_json(values: Any) -> str:
    """Sorted keys, one space of indent: the same values give the same text."""
    return json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False)
