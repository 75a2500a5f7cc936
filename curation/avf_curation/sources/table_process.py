"""A table from outside is read in a process of its own, which a hostile file may fill and not outlive.

The child writes a JSON object a line: {"row": ...} for each row, and at the end {"fault": null}, or what is wrong with
the file. A module that reads such a table is both sides: `rows_of_child` starts it, and run as a program it calls
`write_rows`.
"""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from avf_shards.system.child_process import end_with_parent, module_command
from avf_shards.system.memory_limit import lower_limit, reserved_memory_bytes

_LONGEST_FAULT = 200  # characters


class TableError(Exception):
    """Raised for a file that is no table, or asks for too much; the message says why."""


@dataclass(frozen=True, kw_only=True)
class TableLimits:
    """What the process that reads a table may take."""

    cpu_s: int
    memory_bytes: int  # beyond what Python and this module take

    def __str__(self) -> str:
        """Return the fault of a table that takes more."""
        return f"reading it takes more than {self.cpu_s} s or {self.memory_bytes / 1e6:,.0f} MB of memory"


def rows_of_child(module: str, arguments: Iterable[str], limits: TableLimits) -> Iterator[Any]:
    """Yield the rows that `module`, run as a program, writes of a table. Raises TableError."""
    command = module_command(module, str(os.getpid()), *arguments)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as child:
        assert child.stdout is not None
        try:
            for line in child.stdout:
                if not line.endswith(b"\n"):  # it was ended while it wrote
                    break
                message = json.loads(line)
                if "row" in message:
                    yield message["row"]
                elif message["fault"] is None:
                    return
                else:
                    raise TableError(message["fault"])
            status = child.wait()
        finally:
            child.kill()
    raise TableError(str(limits) if status < 0 else f"its process ended with status {status}")


def write_rows(parent_pid: int, list_rows: Callable[[], Iterable[Any]], limits: TableLimits) -> None:
    """Write the rows of a table for the parent, under limits that hold for the rest of this process."""
    end_with_parent(parent_pid, signal.SIGKILL)
    lower_limit(resource.RLIMIT_CORE, 0)
    lower_limit(resource.RLIMIT_CPU, limits.cpu_s)
    memory_before = resource.getrlimit(resource.RLIMIT_DATA)
    lower_limit(resource.RLIMIT_DATA, (reserved_memory_bytes() or 0) + limits.memory_bytes, memory_before[1])
    fault = None
    try:
        for row in list_rows():
            print(json.dumps({"row": row}))
    except MemoryError:
        resource.setrlimit(resource.RLIMIT_DATA, memory_before)  # to say so takes memory, too
        fault = str(limits)
    except Exception as error:  # the libraries raise whatever their readers meet in a damaged file
        fault = next(iter(str(error).splitlines()), type(error).__name__)[:_LONGEST_FAULT]
    print(json.dumps({"fault": fault}))
