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
from xml.etree.ElementTree import ParseError

from avf_shards.system.child_process import end_with_parent
from avf_shards.system.memory_limit import lower_limit, reserved_memory_bytes

MAX_ROWS = 100_000  # of a table; no corpus has a tenth
MAX_BYTES = 64_000_000  # of a table, unpacked: a kilobyte of .xlsx may hold gigabytes
_CPU_S, _MEMORY_BYTES = 120, 1_000_000_000  # 100,000 rows of 13 columns take less


class TableError(Exception):
    """Raised for a file that is no table, or asks for too much; the message says why."""


def read_xlsx(path: Path) -> Iterator[list[str]]:
    """Yield the texts of each row of the first sheet. Raises TableError."""
    command = [sys.executable, "-m", __name__, str(os.getpid()), str(path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as child:
        assert child.stdout is not None
        try:
            for line in child.stdout:
                match json.loads(line):
                    case list() as row:
                        yield row
                    case {"fault": None}:
                        return
                    case {"fault": str() as fault}:
                        raise TableError(fault)
        finally:
            child.kill()
    raise TableError(f"reading it takes more than {_CPU_S} s or {_MEMORY_BYTES / 1e6:.0f} MB of memory")


def _write_rows(path: Path) -> None:
    from openpyxl import load_workbook

    with zipfile.ZipFile(path) as archive:  # which gives no more of a member than it declares
        size_bytes = sum(member.file_size for member in archive.infolist())
    if size_bytes > MAX_BYTES:
        raise TableError(
            f"it holds {size_bytes / 1e6:,.0f} MB of text, and no table may have over {MAX_BYTES / 1e6:.0f}"
        )
    book = load_workbook(path, read_only=True, data_only=True)
    for number, row in enumerate(book.worksheets[0].iter_rows(values_only=True)):
        if number > MAX_ROWS:
            raise TableError(f"it has more than {MAX_ROWS:,} rows")
        cells = ["" if cell is None else str(cell) for cell in row]
        while cells and not cells[-1]:  # a row may declare any number of empty cells
            cells.pop()
        print(json.dumps(cells))


def main(path: Path) -> None:
    """Write the rows of a file, and what is wrong with it."""
    from openpyxl.utils.exceptions import InvalidFileException

    lower_limit(resource.RLIMIT_CORE, 0)
    lower_limit(resource.RLIMIT_CPU, _CPU_S)
    lower_limit(resource.RLIMIT_DATA, (reserved_memory_bytes() or 0) + _MEMORY_BYTES)
    fault = None
    try:
        _write_rows(path)
    except TableError as error:
        fault = str(error)
    except (InvalidFileException, zipfile.BadZipFile, KeyError, IndexError, ParseError, ValueError, OSError) as error:
        fault = str(error) or type(error).__name__
    print(json.dumps({"fault": fault}))


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]), signal.SIGKILL)
    main(Path(sys.argv[2]))
