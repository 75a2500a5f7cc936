"""A plain folder with a labels.csv: a labelled corpus of the user.

    file,label,subject,session,fold
    anna/take_1.mp4,happy,anna,1,2

`file` is relative to the folder. The columns `subject`, `session`, `fold` (the test set that a file is in, from 1 on),
`speaker` and `language` are optional; every other column is a label. A column `frame_labels` names, for each file, the
table of the labels of its single frames (frame_table.py); `set` (train, validation or test) goes with it. A column
`fake` says that the files are real or forged (forgery_labels.py).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

from avf_shards.errors import UserError
from avf_shards.schema.forgery import Forgery
from avf_shards.schema.frame_labels import FrameLabels
from avf_shards.schema.labels import Labels

from avf_curation.recipe import PlanConfig
from avf_curation.sources.file_table import TABLE, FileRow, FileTable, read_file_table
from avf_curation.sources.folder import list_folder_videos
from avf_curation.sources.forgery_labels import parse_cells, truth_labels
from avf_curation.sources.frame_annotations import SETS, TASKS
from avf_curation.sources.frame_table import find_frame_line, read_frame_table
from avf_curation.sources.listing import LabelFile, Listing
from avf_curation.sources.media_names import is_image_name
from avf_curation.sources.types import Video, utf8_name

FRAME_TABLES = "frame_labels"  # the column that names tables of frames
_OTHER_COLUMNS = ("file", "subject", "session", "fold", "speaker", "language")
_COLUMNS_OF_FORGERIES = ("fake", "original", "forged", "method", "segments", "split")
_FOLD = re.compile(r"[0-9]{1,6}")
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
    table = read_file_table(listing)
    if not set(table.columns) - set(_OTHER_COLUMNS):
        raise UserError(
            f"--source {listing.source}={listing.root}: {TABLE} needs a column `file` and at least one column of "
            f"labels; it has {', '.join(table.columns)}"
        )
    rows = dict(table.rows)
    if rows and all(map(is_image_name, rows)):
        raise UserError(
            f"--source {listing.source}={listing.root}: {TABLE} names images and no video, as {next(iter(rows))}; "
            f"curate face pictures with --source pictures={listing.root}, or with --recipe pictures"
        )
    tables = {str(PurePosixPath(row.cells[FRAME_TABLES])) for row in rows.values() if row.cells.get(FRAME_TABLES)}
    for video in list_folder_videos(listing, config, {TABLE, *rows, *tables}):
        if video.path == TABLE or utf8_name(video.path) in tables:
            continue
        row = rows.pop(utf8_name(video.path), None)
        if row is None:
            listing.skip("unlisted", video.path, f"{TABLE} has no such row")
            continue
        labels = _parse_labels(listing, row)
        if labels is not None and FRAME_TABLES in row.cells:
            labels = _add_frames(listing, row, labels)
        if labels is not None:
            speaker = row.cells.get("speaker") or labels.subject
            _note_label_file(listing, video, row, labels)
            if labels.forgery is not None:
                _note_lone_fake(listing, row, labels.forgery, table)
                video = replace(video, group_id=labels.forgery.original)
            yield replace(video, speaker=speaker, language=row.cells.get("language") or None, labels=labels)
    table.note_absent(listing, list(rows), "file")


def _parse_labels(listing: Listing, row: FileRow) -> Labels | None:
    """Return the labels of a row, or None, which is noted, where its fold is no number or its forgery is not right."""
    cells, fold = row.cells, row.cells.get("fold", "")
    if fold and not _FOLD.fullmatch(fold):
        listing.skip("bad_row", row.where, f"fold {fold[:40]!r} of {cells['file']} is no number")
        return None
    others = _OTHER_COLUMNS + (_COLUMNS_OF_FRAMES if FRAME_TABLES in cells else ())
    others += _COLUMNS_OF_FORGERIES if "fake" in cells else ()
    values = {name: value for name, value in cells.items() if name not in others and value}
    folds = {"own": int(fold)} if fold else {}
    subject, session = cells.get("subject") or None, cells.get("session") or None
    if "fake" not in cells:
        return Labels(values=values, subject=subject, session=session, folds=folds)
    forgery = parse_cells(cells)
    if isinstance(forgery, str):
        listing.skip("bad_row", row.where, f"{cells['file']}: {forgery}")
        return None
    split = cells.get("split") or None
    labels = truth_labels(forgery, split=split, subject=subject, session=session, owners=values)
    return replace(labels, folds=folds)


def _note_lone_fake(listing: Listing, row: FileRow, forgery: Forgery, table: FileTable) -> None:
    """Note a fake whose original has no row; it stays an input."""
    if forgery.is_fake and str(PurePosixPath(forgery.original)) not in table.rows:
        listing.skip("missing", row.where, f"{TABLE} has no row for {forgery.original}, the original of this fake")


def _note_label_file(listing: Listing, video: Video, row: FileRow, labels: Labels) -> None:
    """Tell the listing which table has the labels of a video's frames."""
    for task in labels.frames:
        path = row.cells[FRAME_TABLES]
        find = partial(find_frame_line, listing.locate(path))
        listing.label_files[video.video_id, task] = LabelFile(path=path, line_of=find)


def _add_frames(listing: Listing, row: FileRow, labels: Labels) -> Labels | None:
    """Return the labels with those of single frames and the set of each task; None, which is noted, for a bad row.

    A file without a table, as one that is only tested on, has the set that its row names for every task.
    """
    file, name, path = row.cells["file"], row.cells.get("set", "").lower(), row.cells[FRAME_TABLES]
    if name and name not in SETS:
        listing.skip("bad_row", row.where, f"set {name[:40]!r} of {file} is none of {', '.join(SETS)}")
        return None
    frames: Mapping[str, FrameLabels] = {}
    if path:
        inside = not path.startswith("/") and ".." not in path.split("/")
        table = read_frame_table(listing, path) if inside else None
        if table is None:
            reason = "is no table of frames" if inside else "is not below the folder"
            listing.skip("bad_row", row.where, f"{FRAME_TABLES} of {file}, {path[:200]}, {reason}")
            return None
        frames = table
    sets = {f"{task}_set": name for task in frames or TASK_NAMES} if name else {}
    return replace(labels, values={**labels.values, **sets}, frames=frames)
