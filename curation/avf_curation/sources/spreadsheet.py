"""Tables of labels as the owners give them: the first sheet of an .xlsx file, or a .csv, rows by column name."""

import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import ParseError

from avf_shards.errors import UserError

_MOST_ROWS = 100_000


def read_rows(path: Path, needed: tuple[str, ...], where: str) -> Iterator[tuple[int, dict[str, str]]]:
    """(row number, column -> text) below the row that has all of `needed`, whatever lies above it.

    Column names are compared without case and blanks around. Raises UserError for a file that is no such table.
    """
    lines = _sheet(path, where) if path.suffix.lower() == ".xlsx" else _csv(path, where)
    names: list[str] | None = None
    for number, cells in enumerate(lines, 1):
        if names is None:
            told = [cell.strip().lower() for cell in cells]
            names = told if set(needed) <= set(told) else None
        elif any(cells):
            yield number, {name: cell.strip() for name, cell in zip(names, cells, strict=False) if name}
    if names is None:
        raise UserError(f"{where}: {path.name} has no row with the columns {', '.join(needed)}")


def parse_integer(text: str) -> int | None:
    """A whole number, also as a sheet writes it (46.0); None for anything else, as a `/`."""
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if value == int(value) else None


def _sheet(path: Path, where: str) -> Iterator[list[str]]:
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        book = load_workbook(path, read_only=True, data_only=True)
        for number, row in enumerate(book.worksheets[0].iter_rows(values_only=True)):
            if number > _MOST_ROWS:
                raise UserError(f"{where}: {path.name} has more than {_MOST_ROWS:,} rows")
            yield ["" if cell is None else str(cell) for cell in row]
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ParseError, ValueError, OSError) as error:
        raise UserError(f"{where}: {path.name} cannot be read as an .xlsx table ({type(error).__name__})") from None


def _csv(path: Path, where: str) -> Iterator[list[str]]:
    try:
        yield from csv.reader(io.StringIO(path.read_text("utf-8-sig")), strict=True)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{where}: {path.name} cannot be read as a table ({error})") from None
