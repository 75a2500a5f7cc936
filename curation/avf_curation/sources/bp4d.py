"""BP4D: AUCoding/AU_OCC/F001_T1.csv with the action units of each frame, and the images of each task of a person.

The owners publish no list of the images' folders: those of the known copies are searched, as F001/T1/0001.jpg.
"""

import csv
import math
import re
from array import array
from collections.abc import Iterator

from avf_shards.schema.frame_labels import FrameLabels
from avf_shards.schema.labels import Labels
from avf_shards.system.storage_faults import raise_machine_fault

from avf_curation.media.image_files import list_images
from avf_curation.sources.frame_annotations import ACTION_UNITS
from avf_curation.sources.listing import ListedFile, Listing
from avf_curation.sources.spreadsheet import open_csv
from avf_curation.sources.types import Video

NAME = "bp4d"
ABOUT = (
    "BP4D: 41 persons in eight tasks, as folders of images, 25 per second, with twelve action units of each coded "
    "frame; AU25 and AU26 are not coded. Without sound."
)
LABELLED = True
OWNERS_COUNT = 328
LAYOUT = "AUCoding/AU_OCC/F001_T1.csv, {Sequences,2D+3D}/F001/T1/0001.jpg (or F001/T1/ itself)"
TASK = "action_units"
_CODING = "AUCoding/AU_OCC"
_FOLDERS = ("Sequences", "2D+3D", "Images", "")
_NAME = re.compile(r"([FM]\d{3})_(T\d)")
_WHOLE = re.compile(r"[0-9]{1,6}")
_NOT_CODED = 9


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield every task of a person that is coded and has images. Raises UserError where there is no coding."""
    base = listing.find_base("BP4D", _CODING)
    tables = listing.files_by_stem(f"{base}{_CODING}", rf"{_NAME.pattern}\.csv", "coding (F001_T1.csv)")
    for stem, table in tables.items():
        person, task = stem.split("_")
        candidates = (f"{base}{folder}/{person}/{task}".lstrip("/") for folder in _FOLDERS)
        folder = next((path for path in candidates if listing.has_folder(path)), None)
        if folder is None:
            listing.skip("missing", table.path, f"no folder {person}/{task} of images")
            continue
        labels = _read_coding(listing, table)
        if labels is not None:
            video = _make_input(listing, folder, stem, labels)
            if video is not None:
                yield video


def _make_input(listing: Listing, folder: str, stem: str, labels: FrameLabels) -> Video | None:
    """Return the images of a task as an input; note coded frames without an image."""
    try:
        images = list_images(listing.root / folder)
    except OSError as error:
        raise_machine_fault(error)
        listing.skip_unreadable(folder, error)
        return None
    if not images.names or any(listing.skips_link(f"{folder}/{name}") for name in images.names):
        listing.skip("missing", folder, "a folder without numbered images")
        return None
    coded = range(labels.first_frame, labels.first_frame + labels.frames)
    missing = len(coded) - len(set(images.numbers).intersection(coded))
    if missing:
        listing.skip("missing", folder, f"{missing:,} of {len(coded):,} coded frames have no image")
    person = stem.partition("_")[0]
    return Video(
        source=listing.source,
        video_id=stem,
        group_id=person,
        path=folder,
        size_bytes=images.size_bytes,
        mtime_ns=images.mtime_ns,
        speaker=person,
        labels=Labels(values={"task": stem.partition("_")[2]}, subject=person, session=stem, frames={TASK: labels}),
    )


def _read_coding(listing: Listing, table: ListedFile) -> FrameLabels | None:
    """Return the labels of a coding; None where it is none. A line that is no label is a frame without one."""
    rows: dict[int, dict[str, float]] = {}
    units: list[str] | None = None
    with open_csv(listing.locate(table.path), f"--source {listing.source}={listing.root}") as file:
        for number, cells in enumerate(csv.reader(file), 1):
            where = f"{table.path}:{number}"
            if units is None:
                units = [f"AU{cell.strip()}" for cell in cells[1:]]
                if not set(units) & set(ACTION_UNITS):
                    listing.skip("bad_row", where, "the first line names none of the action units")
                    return None
                continue
            frame, values = _parse_row(cells, units)
            if frame is None:
                listing.skip("bad_row", where, "is no frame number and a code for each action unit")
            elif frame in rows:
                listing.skip("duplicate", where, f"frame {frame} was coded before")
            else:
                rows[frame] = values
    if not rows:
        listing.skip("bad_row", table.path, "codes no frame")
        return None
    first, last = min(rows), max(rows)
    columns = {unit: array("d", [math.nan]) * (last - first + 1) for unit in ACTION_UNITS}
    for frame, values in rows.items():
        for unit in columns.keys() & values.keys():
            columns[unit][frame - first] = values[unit]
    return FrameLabels(first_frame=first, columns=columns, total=last - first + 1)


def _parse_row(cells: list[str], units: list[str]) -> tuple[int | None, dict[str, float]]:
    """Return the frame and its valid codes; no frame where the row is none."""
    if len(cells) != len(units) + 1 or not all(_WHOLE.fullmatch(cell.strip()) for cell in cells):
        return None, {}
    frame, codes = int(cells[0]), [int(cell) for cell in cells[1:]]
    if any(code not in (0, 1, _NOT_CODED) for code in codes):
        return None, {}
    return frame, {unit: float(code) for unit, code in zip(units, codes, strict=True) if code != _NOT_CODED}
