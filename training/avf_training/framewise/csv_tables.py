"""CSV tables with a header, as people write them; a row without a cell for each column is named with file and line."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from avf_shards.errors import UserError

_MAX_NAMED = 5  # rows in one error


def read_csv_header(path: Path) -> list[str]:
    """Return the names of a table's columns. Raises UserError for what is no table, or has two columns of one name."""
    _, names = next(_read_lines(path), ("", []))
    if not names:
        raise UserError(f"{path}: is empty; its first line must name the columns")
    for name in names:
        if names.count(name) > 1:
            name_words = f"named {name}" if name else "without a name"
            raise UserError(f"{path}: line 1: has two columns {name_words}; remove one, or give it another name")
    return names


def read_csv_rows(path: Path, needed: Sequence[str] = ()) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield file and line, and the cells by column, of each row. Blank lines are left out.

    Args:
        path: of the table.
        needed: columns that it must have.

    Raises UserError, before the first row, as `read_csv_header`, for a column that is missing, for rows with another
    number of cells than columns, and for a table without a row.
    """
    names = read_csv_header(path)
    missing = [name for name in needed if name not in names]
    if missing:
        raise UserError(f"{path}: line 1: no column {missing[0]}; the columns are {', '.join(needed)}")
    rows, wrong = -1, []
    for where, cells in _read_lines(path):
        rows += 1
        if len(cells) != len(names):
            count = "1 cell" if len(cells) == 1 else f"{len(cells)} cells"
            wrong.append(f"{where}: has {count}, and line 1 names {len(names)} columns")
    if wrong:
        more = [f"and {len(wrong) - _MAX_NAMED:,} more such lines"] if len(wrong) > _MAX_NAMED else []
        raise UserError("\n".join([*wrong[:_MAX_NAMED], *more]))
    if not rows:
        raise UserError(f"{path}: has no row below its first line")
    for number, (where, cells) in enumerate(_read_lines(path)):
        if number:
            yield where, dict(zip(names, cells, strict=True))


def _read_lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield file and line, and the cells, of each line that is not blank."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for cells in reader:
                if cells:
                    yield f"{path}: line {reader.line_num}", cells
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except csv.Error as error:
        raise UserError(f"{path}: not a CSV file ({error})") from None
    except (UnicodeDecodeError, IsADirectoryError):
        raise UserError(f"{path}: not a CSV file in UTF-8") from None
