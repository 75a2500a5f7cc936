"""The labels.csv of a folder of the user: a CSV table that has a row for each file, and every row's line."""

import csv
import io
from dataclasses import dataclass
from pathlib import PurePosixPath

from avf_shards.errors import UserError
from avf_shards.system.storage_faults import read_text

from avf_curation.sources.listing import Listing

TABLE = "labels.csv"


@dataclass(frozen=True, kw_only=True)
class FileRow:
    """One row of the table."""

    line: int  # of the table, where the row begins
    cells: dict[str, str]  # column -> text, without the spaces around it

    @property
    def where(self) -> str:
        """Return the table and the line, as notes name them."""
        return f"{TABLE}:{self.line}"


@dataclass(frozen=True, kw_only=True)
class FileTable:
    """A table whose first line names a column `file`."""

    columns: tuple[str, ...]
    rows: dict[str, FileRow]  # file, relative to the folder -> the first row that names it

    def note_absent(self, listing: Listing, files: list[str], noun: str) -> None:
        """Note each of the files, which rows name and the folder lacks, with its row."""
        for row, file in sorted((self.rows[file].line, file) for file in files):
            listing.skip("missing", f"{TABLE}:{row}", f"no such {noun}: {file}")


def read_file_table(listing: Listing) -> FileTable:
    """Read labels.csv; note each row that has more fields than columns, no file, or a file of an earlier row.

    Raises:
        UserError: the table is no CSV in UTF-8, has no column `file`, or has a column twice.
    """
    where = f"--source {listing.source}={listing.root}: {TABLE}"
    rows: dict[str, FileRow] = {}
    try:
        reader = csv.reader(io.StringIO(read_text(listing.locate(TABLE), "utf-8-sig"), newline=""), strict=True)
        names = [name.strip() for name in next(reader, [])]
        named = [name for name in names if name]
        if "file" not in names or len(set(named)) < len(named):
            raise UserError(f"{where} needs a column `file` and no column twice; it has {', '.join(named) or 'none'}")
        line = reader.line_num + 1
        for fields in reader:
            if fields:  # no blank line
                _enter_row(listing, rows, names, fields, line)
            line = reader.line_num + 1  # a quoted field may hold several lines
    except UnicodeDecodeError:
        raise UserError(f"{where} is not UTF-8; save the table as UTF-8") from None
    except csv.Error as error:
        raise UserError(f"{where} is no CSV table ({error})") from None
    return FileTable(columns=tuple(named), rows=rows)


def _enter_row(listing: Listing, rows: dict[str, FileRow], names: list[str], fields: list[str], line: int) -> None:
    """Add a row under its file, or note why it does not count."""
    padded = fields + [""] * (len(names) - len(fields))
    cells = {name: text.strip() for name, text in zip(names, padded, strict=False) if name}
    row = FileRow(line=line, cells=cells)
    file = str(PurePosixPath(cells["file"])) if cells["file"] else ""
    if len(fields) > len(names):
        listing.skip("bad_row", row.where, f"more fields than columns: {len(fields)}, and not {len(names)}")
    elif not file:
        listing.skip("bad_row", row.where, "no file")
    elif file in rows:
        listing.skip("duplicate", row.where, _describe_repeated(file, row, rows[file]))
    else:
        rows[file] = row


def _describe_repeated(file: str, row: FileRow, earlier: FileRow) -> str:
    """Return what to note of a row whose file an earlier row names, which counts."""
    sets = [each.cells.get("set", "").lower() for each in (earlier, row)]
    apart = (
        f", with the set {sets[0] or 'empty'}, and here with {sets[1] or 'an empty one'}" if len(set(sets)) > 1 else ""
    )
    tables = [each.cells.get("frame_labels", "") for each in (earlier, row)]
    unread = f", and {tables[1][:200]} is not read" if tables[1] and tables[0] != tables[1] else ""
    return f"{file} was listed before, in {earlier.where}{apart}; line {earlier.line} counts{unread}"
