"""Readers of label tables as owners distribute them: the first sheet of an .xlsx file, or a .csv."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from avf_shards.errors import UserError
from avf_shards.system.storage_faults import open_plain, read_text

from avf_curation.sources.table_process import TableError
from avf_curation.sources.xlsx_process import MAX_BYTES, read_xlsx


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
            padded = cells + [""] * (len(header) - len(cells))
            yield number, {name: cell.strip() for name, cell in zip(header, padded, strict=False) if name}
    if header is None:
        raise UserError(f"{where}: {path.name} has no row with the columns {', '.join(needed)}")


@contextmanager
def open_csv(path: Path, where: str) -> Iterator[TextIO]:
    """Open an owners' list for the reader of the csv module, whose errors inside the block name the file.

    Raises:
        UserError: a field of the list has more than 128 kB, or the file is no CSV for another reason.
    """
    try:
        with open(path, encoding="utf-8", errors="replace", newline="", opener=open_plain) as file:
            yield file
    except csv.Error as error:
        raise UserError(
            f"{where}: {path.name} cannot be read as a CSV table ({error}); is it the owners' list?"
        ) from None


def parse_integer(text: str) -> int | None:
    """Return the integer of a cell, also as a spreadsheet writes it (46.0), or None for any other text."""
    try:
        value = float(text)
        return int(value) if value == int(value) else None
    except (ValueError, OverflowError):  # no number, or none that ends
        return None


def _read_xlsx(path: Path, where: str) -> Iterator[list[str]]:
    try:
        yield from read_xlsx(path)
    except TableError as error:
        raise UserError(
            f"{where}: {path.name} cannot be read as an .xlsx table ({error}); is it the owners' table?"
        ) from None


def _read_csv(path: Path, where: str) -> Iterator[list[str]]:
    try:
        _check_size(path.stat().st_size, path, where)
        yield from csv.reader(io.StringIO(read_text(path, "utf-8-sig")), strict=True)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{where}: {path.name} cannot be read as a CSV table ({error})") from None


def _check_size(size_bytes: int, path: Path, where: str) -> None:
    """Raise UserError for a table that is too large, unpacked, to be of any corpus."""
    if size_bytes > MAX_BYTES:
        raise UserError(
            f"{where}: {path.name} holds {size_bytes / 1e6:,.0f} MB of text, and no owner's table has more than "
            f"{MAX_BYTES / 1e6:.0f} MB; is it the owners' table?"
        )
