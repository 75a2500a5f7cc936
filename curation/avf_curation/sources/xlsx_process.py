"""Read the first sheet of an .xlsx file in a process of its own, which a hostile file may fill and not outlive.

`python -m avf_curation.sources.xlsx_process PARENT FILE` writes a JSON list of texts for each row, and at the end
{"fault": null}, or what is wrong with the file.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from avf_shards.system.child_process import end_with_parent, module_command
from avf_shards.system.memory_limit import lower_limit, reserved_memory_bytes

MAX_ROWS = 100_000  # of a table; no corpus has a tenth
MAX_BYTES = 64_000_000  # of a table, unpacked: a kilobyte of .xlsx may hold gigabytes
_CPU_S, _MEMORY_BYTES = 120, 1_000_000_000  # 100,000 rows of 13 columns take less
_TOO_MUCH = f"reading it takes more than {_CPU_S} s or {_MEMORY_BYTES / 1e6:.0f} MB of memory"


class TableError(Exception):
    """Raised for a file that is no table, or asks for too much; the message says why."""


def read_xlsx(path: Path) -> Iterator[list[str]]:
    """Yield the texts of each row of the first sheet. Raises TableError."""
    command = module_command(__name__, str(os.getpid()), str(path))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as child:
        assert child.stdout is not None
        try:
            for line in child.stdout:
                if not line.endswith(b"\n"):  # it was ended while it wrote
                    break
                match json.loads(line):
                    case list() as row:
                        yield row
                    case {"fault": None}:
                        return
                    case {"fault": str() as fault}:
                        raise TableError(fault)
            status = child.wait()
        finally:
            child.kill()
    raise TableError(_TOO_MUCH if status < 0 else f"its process ended with status {status}")


def _write_rows(path: Path) -> None:
    from openpyxl import load_workbook

    with zipfile.ZipFile(path) as archive:  # which gives no more of a member than it declares
        size_bytes = sum(member.file_size for member in archive.infolist())
    if size_bytes > MAX_BYTES:
        raise TableError(
            f"it holds {size_bytes / 1e6:,.0f} MB of text, and no table may have over {MAX_BYTES / 1e6:.0f}"
        )
    book = load_workbook(path, read_only=True, data_only=True)
    if not book.worksheets:
        raise TableError("it has no sheet")
    for number, row in enumerate(book.worksheets[0].iter_rows(values_only=True)):
        if number > MAX_ROWS:
            raise TableError(f"it has more than {MAX_ROWS:,} rows")
        cells = ["" if cell is None else str(cell) for cell in row]
        while cells and not cells[-1]:  # a row may declare any number of empty cells
            cells.pop()
        print(json.dumps(cells))


def main(path: Path) -> None:
    """Write the rows of a file, and what is wrong with it."""
    lower_limit(resource.RLIMIT_CORE, 0)
    lower_limit(resource.RLIMIT_CPU, _CPU_S)
    lower_limit(resource.RLIMIT_DATA, (reserved_memory_bytes() or 0) + _MEMORY_BYTES)
    fault = None
    try:
        _write_rows(path)
    except MemoryError:
        fault = _TOO_MUCH
    except Exception as error:  # openpyxl raises any kind of a file that is damaged
        fault = next(iter(str(error).splitlines()), type(error).__name__)
    print(json.dumps({"fault": fault}))


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]), signal.SIGKILL)
    main(Path(sys.argv[2]))
