"""A user's labels of single frames: a CSV table for each video, which a column of the folder's labels.csv names.

    frame,valence,arousal,expression,AU4,AU12
    1,0.25,-0.1,Happiness,0,1
    2,0.25,,Happiness,0,1

`frame` is the number of a frame of the video, from 1 on, in the order in which frames are shown. Rows may be in any
order, and frames without a row have no labels. Every other column is optional: an empty cell, -5 for valence and
arousal, and -1 for the others mean that the frame has no valid label. An expression is a name or a number from 0.
"""

import csv
import io
import math
import re
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from avf_shards.schema.frame_labels import FrameLabels
from avf_shards.system.storage_faults import open_plain, raise_machine_fault, read_bytes

from avf_curation.sources.file_table import TABLE
from avf_curation.sources.frame_annotations import EXPRESSIONS, TASKS, AnnotationTask
from avf_curation.sources.listing import Listing

FRAME = "frame"  # the column of frame numbers
MAX_FRAME = 1_000_000  # nine hours of 30 frames a second; labels are stored for each frame between first and last
_MAX_BYTES = 64_000_000  # of a table
_MAX_NAMED_FAULTS = 20  # of one table; the others are counted
_FRAME_NUMBER = re.compile(r"[0-9]{1,7}")
_COLUMNS = {column.lower(): (column, task) for task in TASKS for column in task.columns}
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_CLASSES = {name.lower(): float(number) for number, name in enumerate(EXPRESSIONS)}

Row = dict[str, float]  # column -> valid value


@dataclass(kw_only=True)
class _Faults:
    """Notes rows that are no labels: the first ones by line, the others as a number."""

    listing: Listing
    path: str  # of the table
    count: int = 0

    def add(self, line: int, reason: str, kind: str = "bad_row") -> None:
        self.count += 1
        if self.count <= _MAX_NAMED_FAULTS:
            self.listing.skip(kind, f"{self.path}:{line}", reason)

    def finish(self) -> None:
        if self.count > _MAX_NAMED_FAULTS:
            more = self.count - _MAX_NAMED_FAULTS
            self.listing.skip("bad_row", self.path, f"{more:,} more rows that are no labels")


def read_frame_table(listing: Listing, path: str) -> dict[str, FrameLabels] | None:
    """Return task -> labels of the frames of a table; None, which is noted, where it is no such table.

    What is no label is noted with the table's line, and is a label that its frame does not have.

    Args:
        path: of the table, below the source's folder.

    Raises:
        UserError: the table lies behind a link that leads out of the folder.
    """
    try:
        data = read_bytes(listing.locate(path), _MAX_BYTES + 1)
    except OSError as error:
        raise_machine_fault(error)
        if isinstance(error, FileNotFoundError):
            listing.skip("missing", path, f"no such table of frames; {TABLE} names it")
        else:
            listing.skip_unreadable(path, error)
        return None
    if len(data) > _MAX_BYTES:
        listing.skip("bad_row", path, f"more than {_MAX_BYTES / 1e6:.0f} MB, which no table of frames has")
        return None
    faults = _Faults(listing=listing, path=path)
    lines = csv.reader(io.StringIO(data.decode("utf-8-sig", "replace"), newline=""))
    try:
        columns = _read_header(next(lines, []), faults)
        rows = _read_lines(lines, columns, faults) if columns is not None else {}
    except csv.Error as error:
        faults.add(lines.line_num, f"is no CSV table ({error})")
        return None
    finally:
        faults.finish()
    if not any(rows.values()):
        listing.skip("bad_row", path, "has no row with a label")
        return None
    return _make_labels(rows)


def find_frame_line(path: Path, frame: int) -> int | None:
    """Return the line of a table that holds a frame; None without one. The table has been read before."""
    with open(path, encoding="utf-8-sig", errors="replace", newline="", opener=open_plain) as file:
        lines = csv.reader(file)
        names = [cell.strip().lower() for cell in next(lines, [])]
        column = names.index(FRAME) if FRAME in names else len(names)
        for cells in lines:
            if len(cells) > column and _FRAME_NUMBER.fullmatch(cells[column].strip()) and int(cells[column]) == frame:
                return lines.line_num
    return None


def _read_header(cells: list[str], faults: _Faults) -> list[str | None] | None:
    """Return the name of each column, None for one that is not read; None where the first line is no header."""
    names = [cell.strip().lower() for cell in cells]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    known = sorted(set(names) & set(_COLUMNS))
    if FRAME not in names or not known or twice:
        reason = f"names {', '.join(twice)} twice" if twice else f"is {','.join(cells)[:80] or 'empty'!r}"
        columns = ", ".join(column for column, _ in _COLUMNS.values())
        faults.add(1, f"the first line {reason}, and must name `{FRAME}` and some of {columns}")
        return None
    for cell, name in zip(cells, names, strict=True):
        if name and name != FRAME and name not in _COLUMNS:
            faults.add(1, f"the column {cell.strip()[:40]!r} is not read; known are frame, {', '.join(_COLUMNS)}")
    return [FRAME if name == FRAME else _COLUMNS[name][0] if name in _COLUMNS else None for name in names]


def _read_lines(
    lines: "csv._reader",  # type: ignore[name-defined]  # the class has no public name
    columns: list[str | None],
    faults: _Faults,
) -> dict[int, Row]:
    """Return frame -> its valid labels."""
    rows: dict[int, Row] = {}
    seen: dict[int, int] = {}
    for cells in lines:
        line = lines.line_num
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(columns):
            faults.add(line, f"has {len(cells)} cells, and the first line {len(columns)}")
            continue
        values = {name: cell.strip() for name, cell in zip(columns, cells, strict=False) if name is not None}
        number = values.pop(FRAME, "")
        if not _FRAME_NUMBER.fullmatch(number) or not 1 <= int(number) <= MAX_FRAME:
            faults.add(line, f"{number[:40]!r} is no frame number from 1 to {MAX_FRAME:,}")
        elif (frame := int(number)) in seen:
            faults.add(line, f"frame {frame} stands in line {seen[frame]} before", "duplicate")
        else:
            seen[frame] = line
            rows[frame] = _parse_row(values, frame, line, faults)
    return rows


def _parse_row(values: Mapping[str, str], frame: int, line: int, faults: _Faults) -> Row:
    row: Row = {}
    for column, text in values.items():
        if not text:
            continue
        task = _COLUMNS[column.lower()][1]
        value = _parse_value(text, task)
        if value is None:
            allowed = f"a number from {task.low:g} to {task.high:g}"
            if task.classes:
                allowed = f"{', '.join(task.classes)} or {allowed}"
            faults.add(line, f"{column} {text[:40]!r} of frame {frame} is neither {allowed} nor empty")
        elif not math.isnan(value):
            row[column] = value
    return row


def _parse_value(text: str, task: AnnotationTask) -> float | None:
    """Return the value of a cell; NaN where it marks a frame without a label, None where it is no label."""
    if task.classes and text.lower() in _CLASSES:
        return _CLASSES[text.lower()]
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    if value == task.invalid:
        return math.nan
    is_valid = task.low <= value <= task.high and (value.is_integer() or not task.is_whole)
    return value if is_valid else None


def _make_labels(rows: Mapping[int, Row]) -> dict[str, FrameLabels]:
    """Return the labels of each task that has a column with a value, on the frames from the first to the last row."""
    first, last = min(rows), max(rows)
    used = {column for row in rows.values() for column in row}
    frames = {}
    for task in TASKS:
        if used.isdisjoint(task.columns):
            continue
        columns = {column: array("d", [math.nan]) * (last - first + 1) for column in task.columns}
        for frame, row in rows.items():
            for column in task.columns:
                columns[column][frame - first] = row.get(column, math.nan)
        frames[task.name] = FrameLabels(
            first_frame=first, columns=columns, classes=task.classes, total=last - first + 1
        )
    return frames
