"""Read the first sheet of an .xlsx file in a process of its own: `... xlsx_process PARENT FILE` writes its rows."""

import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from avf_curation.sources.table_process import TableError, TableLimits, rows_of_child, write_rows

MAX_ROWS = 100_000  # of a table; no corpus has a tenth
MAX_BYTES = 64_000_000  # of a table, unpacked: a kilobyte of .xlsx may hold gigabytes
_LIMITS = TableLimits(cpu_s=120, memory_bytes=1_000_000_000)  # 100,000 rows of 13 columns take less


def read_xlsx(path: Path) -> Iterator[list[str]]:
    """Yield the texts of each row of the first sheet. Raises TableError."""
    return rows_of_child(__name__, (str(path),), _LIMITS)


def _list_rows(path: Path) -> Iterator[list[str]]:
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
        yield cells


if __name__ == "__main__":
    write_rows(int(sys.argv[1]), lambda: _list_rows(Path(sys.argv[2])), _LIMITS)
