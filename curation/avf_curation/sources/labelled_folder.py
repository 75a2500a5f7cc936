"""A plain folder with a labels.csv: a labelled corpus of the user.

    file,label,subject,session,fold
    anna/take_1.mp4,happy,anna,1,2

`file` is relative to the folder. The columns `subject`, `session`, `fold` (the test set that a file is in, from 1 on),
`speaker` and `language` are optional; every other column is a label. A column `frame_labels` names, for each file, the
table of the labels of its single frames (frame_table.py); `set` (train, validation or test) goes with it.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.schema.frame_labels import FrameLabels
from avf_shards.schema.labels import Labels
from avf_shards.system.storage_faults import read_text

from avf_curation.recipe import PlanConfig
from avf_curation.sources.folder import list_folder_videos
from avf_curation.sources.frame_annotations import SETS, TASKS
from avf_curation.sources.frame_table import read_frame_table
from avf_curation.sources.listing import Listing
from avf_curation.sources.media_names import is_image_name
from avf_curation.sources.types import Video, utf8_name

TABLE = "labels.csv"
FRAME_TABLES = "frame_labels"  # the column that names tables of frames
_OTHER_COLUMNS = ("file", "subject", "session", "fold", "speaker", "language")
TASK_NAMES = tuple(task.name for task in TASKS)
_COLUMNS_OF_FRAMES = (FRAME_TABLES, "set")  # `set` is a label as any other where no tables of frames are named


def has_labels(root: Path) -> bool:
    """Return whether the folder holds a labels.csv."""
    return (root / TABLE).is_file()


def list_labelled_videos(listing: Listing, config: PlanConfig) -> Iterator[Video]:
    """Yield every file below the folder that the table names.

    Raises:
        UserError: the table cannot be read, has no column `file` or no column of labels, or names images alone.
    """
    rows = _read_rows(listing)
    if rows and all(map(is_image_name, rows)):
        raise UserError(
            f"--source {listing.source}={listing.root}: {TABLE} names images and no video, as {next(iter(rows))}; "
            f"curate face pictures with --source pictures={listing.root}, or with --recipe pictures"
        )
    tables = {row[FRAME_TABLES] for row in rows.values() if row.get(FRAME_TABLES)}
    for video in list_folder_videos(listing, config, {TABLE, *rows, *tables}):
        if video.path == TABLE or utf8_name(video.path) in tables:
            continue
        row = rows.pop(utf8_name(video.path), None)
        if row is None:
            listing.skip("unlisted", video.path, f"{TABLE} has no such row")
            continue
        labels = _parse_labels(listing, row)
        if labels is not None and FRAME_TABLES in row:
            labels = _add_frames(listing, row, labels)
        if labels is not None:
            speaker = row.get("speaker") or labels.subject
            yield replace(video, speaker=speaker, language=row.get("language") or None, labels=labels)
    for file in sorted(rows):
        listing.skip("missing", f"{TABLE}: {file}", "no such file")


def _read_rows(listing: Listing) -> dict[str, dict[str, str]]:
    """Return file -> row of the table."""
    where = f"--source {listing.source}={listing.root}: {TABLE}"
    try:
        reader = csv.DictReader(io.StringIO(read_text(listing.locate(TABLE), "utf-8-sig")), strict=True)
        names = [name.strip() for name in reader.fieldnames or ()]
        rows: dict[str, dict[str, str]] = {}
        numbers: dict[str, int] = {}
        for number, values in enumerate(reader, 2):  # row 1 is the header, as a spreadsheet numbers rows
            row = {name: (value or "").strip() for name, value in zip(names, values.values(), strict=False)}
            if None in values or not row.get("file"):
                reason = "more fields than columns" if None in values else "no file"
                listing.skip("bad_row", f"{TABLE}: row {number}", reason)
            elif row["file"] in rows:
                reason = _describe_repeated(row, rows[row["file"]], numbers[row["file"]])
                listing.skip("duplicate", f"{TABLE}: row {number}", reason)
            else:
                rows[row["file"]] = row
                numbers[row["file"]] = number
    except UnicodeDecodeError:
        raise UserError(f"{where} is not UTF-8; save the table as UTF-8") from None
    except csv.Error as error:
        raise UserError(f"{where} is no CSV table ({error})") from None
    if "file" not in names or not set(names) - set(_OTHER_COLUMNS):
        raise UserError(
            f"{where} needs a column `file` and at least one column of labels; it has {', '.join(names) or 'none'}"
        )
    return rows


def _describe_repeated(row: Mapping[str, str], earlier: Mapping[str, str], number: int) -> str:
    """Return what to note of a row whose file row `number` names; the earlier one counts."""
    sets = [each.get("set", "").lower() for each in (earlier, row)]
    apart = (
        f", with the set {sets[0] or 'empty'}, and here with {sets[1] or 'an empty one'}" if len(set(sets)) > 1 else ""
    )
    return f"{row['file']} was listed before, in row {number}{apart}; row {number} counts"


def _parse_labels(listing: Listing, row: dict[str, str]) -> Labels | None:
    """Return the labels of a row, or None where its fold is no number."""
    fold = row.get("fold", "")
    if fold and not fold.isdigit():
        listing.skip("bad_row", f"{TABLE}: {row['file']}", f"fold {fold!r} is no number")
        return None
    others = _OTHER_COLUMNS + (_COLUMNS_OF_FRAMES if FRAME_TABLES in row else ())
    values = {name: value for name, value in row.items() if name not in others and value}
    folds = {"own": int(fold)} if fold else {}
    return Labels(values=values, subject=row.get("subject") or None, session=row.get("session") or None, folds=folds)


def _add_frames(listing: Listing, row: dict[str, str], labels: Labels) -> Labels | None:
    """Return the labels with those of single frames and the set of each task; None, which is noted, for a bad row.

    A file without a table, as one that is only tested on, has the set that its row names for every task.
    """
    where, name, path = f"{TABLE}: {row['file']}", row.get("set", "").lower(), row[FRAME_TABLES]
    if name and name not in SETS:
        listing.skip("bad_row", where, f"set {name[:40]!r} is none of {', '.join(SETS)}")
        return None
    frames: Mapping[str, FrameLabels] = {}
    if path:
        inside = not path.startswith("/") and ".." not in path.split("/")
        table = read_frame_table(listing, path) if inside else None
        if table is None:
            reason = "is no table of frames" if inside else "is not below the folder"
            listing.skip("bad_row", where, f"its {FRAME_TABLES}, {path[:200]}, {reason}")
            return None
        frames = table
    sets = {f"{task}_set": name for task in frames or TASK_NAMES} if name else {}
    return replace(labels, values={**labels.values, **sets}, frames=frames)
