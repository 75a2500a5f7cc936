"""Readers of label tables as owners distribute them: the first sheet of an .xlsx file, or a .csv."""

import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import ParseError

from avf_shards.errors import UserError

_MAX_ROWS = 100_000  # an .xlsx from outside may claim any number of rows; no corpus has a tenth of these


def read_rows(path: Path, needed: tuple[str, ...], where: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (row number, column name -> text) for the rows below the header.

    The header is the first row with all columns of `needed`; owners put titles and notes above it. Column names are
    compared in lower case without surrounding blanks.

    Args:
        where: start of the error messages, such as "--source samm=DIR".

    Raises:
        UserError: the file cannot be read as a table, or has no such header.
    """
    lines = _read_xlsx(path, where) if path.suffix.lower() == ".xlsx" else _read_csv(path, where)
    header: list[str] | None = None
    for number, cells in enumerate(lines, 1):
        if header is None:
            names = [cell.strip().lower() for cell in cells]
            header = names if set(needed) <= set(names) else None
        elif any(cells):
            yield number, {name: cell.strip() for name, cell in zip(header, cells, strict=False) if name}
    if header is None:
        raise UserError(f"{where}: {path.name} has no row with the columns {', '.join(needed)}")


def parse_integer(text: str) -> int | None:
    """Return the integer of a cell, also as a spreadsheet writes it (46.0), or None for any other text."""
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if value == int(value) else None


def _read_xlsx(path: Path, where: str) -> Iterator[list[str]]:
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        book = load_workbook(path, read_only=True, data_only=True)
        for number, row in enumerate(book.worksheets[0].iter_rows(values_only=True)):
            if number > _MAX_ROWS:
                raise UserError(f"{where}: {path.name} has more than {_MAX_ROWS:,} rows; is it the owners' table?")
            yield ["" if cell is None else str(cell) for cell in row]
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ParseError, ValueError, OSError) as error:
        raise UserError(f"{where}: {path.name} cannot be read as an .xlsx table ({error})") from None


def _read_csv(path: Path, where: str) -> Iterator[list[str]]:
    try:
        yield from csv.reader(io.StringIO(path.read_text("utf-8-sig")), strict=True)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{where}: {path.name} cannot be read as a CSV table ({error})") from None
