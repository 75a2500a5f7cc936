"""FakeAVCeleb: meta_data.csv and TYPE/RACE/SEX/SOURCE/FILE.mp4, with a real video of each source and its fakes.

Labels come from the table alone. Its last column, which has no name, is the folder of the file.
"""

import csv
import io
from collections.abc import Iterator

from avf_shards.errors import UserError
from avf_shards.schema.forgery import ForgedKind, Forgery
from avf_shards.system.storage_faults import raise_machine_fault, read_text

from avf_curation.sources.forgery_labels import truth_labels
from avf_curation.sources.listed_files import find_listed
from avf_curation.sources.listing import Listing
from avf_curation.sources.types import Video

NAME = "fakeavceleb"
ABOUT = (
    "FakeAVCeleb: 500 real videos of celebrities, and some forty times as many with a swapped face, lips or voice. "
    "There is no official split; the group is the source of a fake."
)
LABELLED = True
OWNERS_COUNT = None  # copies differ
LAYOUT = "meta_data.csv, {Real,Fake}Video-{Real,Fake}Audio/African/men/id00076/00109.mp4"
TABLE = "meta_data.csv"
_TYPES: dict[str, ForgedKind | None] = {
    "RealVideo-RealAudio": None,
    "RealVideo-FakeAudio": "audio",
    "FakeVideo-RealAudio": "video",
    "FakeVideo-FakeAudio": "both",
}
_OWNERS = ("category", "type", "race", "gender", "target1", "target2")
_FOLDER = "folder"  # our name of the column without one


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield every video that the table names.

    Raises:
        UserError: the table is missing, cannot be read, or has other columns.
    """
    base = next((f"{name}/" for name in ("FakeAVCeleb_v1.2", "FakeAVCeleb") if listing.has_file(f"{name}/{TABLE}")), "")
    rows = list(_read_rows(listing, base + TABLE))
    reals = {row["source"]: _video_id(row) for _, row in rows if _TYPES[row["type"]] is None}
    alone: dict[str, tuple[str, int]] = {}  # source without a real video -> first row, and number of fakes
    for where, row in rows:
        kind = _TYPES[row["type"]]
        original = reals.get(row["source"])
        if original is None:
            first, count = alone.get(row["source"], (where, 0))
            alone[row["source"]] = (first, count + 1)
        file = find_listed(listing, f"{base}{_video_id(row)}.mp4", where)
        if file is None:
            continue
        forgery = Forgery(
            is_fake=kind is not None,
            original=original or row["source"],
            kind=kind,
            method=row["method"] if kind else None,
            segments=None if kind else (),
        )
        owners = {name: row[name] for name in _OWNERS if row.get(name) not in (None, "", "-")}
        yield Video(
            source=listing.source,
            video_id=_video_id(row),
            group_id=row["source"],
            **file.stat_fields,
            speaker=row["source"],
            labels=truth_labels(forgery, subject=row["source"], session=row["source"], owners=owners),
        )
    for source, (where, count) in alone.items():
        listing.skip("missing", where, f"the table has no real video of {source}, the original of {count} fakes")


def _video_id(row: dict[str, str]) -> str:
    """Return the path of a row's file without the corpus' own folder and the extension."""
    folder = row[_FOLDER].strip("/")
    start = next((part for part in ("FakeAVCeleb/", "FakeAVCeleb_v1.2/") if folder.startswith(part)), "")
    return f"{folder.removeprefix(start)}/{row['path'].removesuffix('.mp4')}"


def _read_rows(listing: Listing, path: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (table and line, row) of the table; note rows that are none. Raises UserError."""
    where = f"--source {NAME}={listing.root}: {path}"
    try:
        reader = csv.reader(
            io.StringIO(read_text(listing.locate(path), "utf-8-sig", "replace"), newline=""), strict=True
        )
        names = [name.strip() for name in next(reader, [])]
        if "filename" in names:  # some copies name both columns
            names = [{"path": _FOLDER, "filename": "path"}.get(name, name) for name in names]
        elif "path" in names and names[-1] == "path":  # the comma behind the last name is missing
            names.append(_FOLDER)
        elif names and not names[-1]:
            names[-1] = _FOLDER
        lacking = {"source", "method", "type", "path", _FOLDER} - set(names)
        if lacking:
            raise UserError(f"{where} has no column {', '.join(sorted(lacking))}; it has {', '.join(names)[:200]}")
        for fields in reader:
            row = dict(zip(names, (field.strip() for field in fields), strict=False))
            line = f"{path}:{reader.line_num}"
            if not fields:
                continue
            if len(fields) < len(names) or row["type"] not in _TYPES or not row["source"] or not row["path"]:
                listing.skip("bad_row", line, f"is no row of a video: {','.join(fields)[:120]}")
                continue
            yield line, row
    except OSError as error:
        raise_machine_fault(error)
        raise UserError(f"{where} cannot be read ({error.strerror}); the corpus is this table") from None
    except csv.Error as error:
        raise UserError(f"{where} is no CSV table ({error})") from None
