"""DFDC: dfdc_train_part_N/metadata.json with its videos, and test/labels.csv, without methods and times."""

import csv
import io
from collections.abc import Container, Iterator
from typing import Any

from avf_shards.errors import UserError
from avf_shards.schema.forgery import Forgery
from avf_shards.system.storage_faults import raise_machine_fault, read_text
from avf_shards.text import load_json

from avf_curation.sources.forgery_labels import truth_labels
from avf_curation.sources.listed_files import find_listed
from avf_curation.sources.listing import ListedFile, Listing
from avf_curation.sources.types import Video

NAME = "dfdc"
ABOUT = (
    "DFDC: actors whose face or voice was swapped; real or fake for each file, and the original of a training fake. "
    "Where two people are in the picture, the forged one is not named."
)
LABELLED = True
OWNERS_COUNT = None  # copies hold some of the parts
LAYOUT = "dfdc_train_part_00/metadata.json and *.mp4, test/labels.csv and *.mp4"
_TRUTHS = {"REAL": False, "FAKE": True, "0": False, "1": True}


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield every video of the parts and of the test set that is listed.

    Raises:
        UserError: there is neither a part nor a test set with its list.
    """
    parts = [
        entry
        for entry in listing.list_entries("", r"dfdc_train_part_\d+|test", "part (dfdc_train_part_N) or test/")
        if entry.is_folder
    ]
    if not parts:
        raise UserError(f"--source {NAME}={listing.root}: no dfdc_train_part_N/ and no test/ in it")
    for part in parts:
        base = f"{part.path}/{part.name}" if listing.has_folder(f"{part.path}/{part.name}") else part.path
        yield from _list_test(listing, base) if part.name == "test" else _list_part(listing, part.name, base)


def _list_part(listing: Listing, part: str, base: str) -> Iterator[Video]:
    """Yield the videos of a training part; note fakes without an original, which stay alone."""
    table = f"{base}/metadata.json"
    entries = _read_object(listing, table)
    for name, entry in entries.items():
        where = f"{table}: {name[:100]}"
        label = str(entry.get("label")).upper() if isinstance(entry, dict) else "none"
        if label not in _TRUTHS:
            listing.skip("bad_row", where, f"label {label[:40]!r} is none of REAL, FAKE")
            continue
        is_fake, original = _TRUTHS[label], entry.get("original")
        if is_fake and not (isinstance(original, str) and original):
            listing.skip("missing", where, "a fake without an original: it is a group of its own")
            original = name
        file = find_listed(listing, f"{base}/{name}", where)
        if file is not None:
            group = f"{part}/{_stem(str(original) if is_fake else name)}"
            yield _make_video(listing, file, f"{part}/{_stem(name)}", _truth(is_fake, group), "train")
    _note_unlisted(listing, base, entries, table)


def _list_test(listing: Listing, base: str) -> Iterator[Video]:
    """Yield the videos of the test set; their originals are not published, so each is a group of its own."""
    table = f"{base}/labels.csv"
    try:
        text = read_text(listing.locate(table), "utf-8-sig", "replace")
    except OSError as error:
        raise_machine_fault(error)
        listing.skip("missing", table, f"cannot be read ({error.strerror}): no video of the test set has a label")
        return
    names: set[str] = set()
    for number, fields in enumerate(csv.reader(io.StringIO(text)), 1):
        if number == 1 or not fields:
            continue
        names.add(fields[0].strip())
        where = f"{table}:{number}"
        if len(fields) < 2 or fields[1].strip().upper() not in _TRUTHS:
            listing.skip("bad_row", where, f"is not a file name and 0 or 1: {','.join(fields)[:100]}")
            continue
        name, is_fake = fields[0].strip(), _TRUTHS[fields[1].strip().upper()]
        file = find_listed(listing, f"{base}/{name}", where)
        if file is not None:
            video_id = f"test/{_stem(name)}"
            yield _make_video(listing, file, video_id, _truth(is_fake, video_id), "test")
    _note_unlisted(listing, base, names, table)


def _note_unlisted(listing: Listing, folder: str, names: Container[str], table: str) -> None:
    """Note the videos of a folder that its table does not name."""
    for file in listing.list_entries(folder, r"(?!\.).+\.mp4|metadata\.json|labels\.csv", "video (.mp4)"):
        if file.name.endswith(".mp4") and file.name not in names:
            listing.skip("unlisted", file.path, f"{table} does not name it")


def _read_object(listing: Listing, path: str) -> dict[str, Any]:
    """Return the object in a part's list; an empty one, which is noted, where it cannot be read."""
    try:
        values = load_json(read_text(listing.locate(path), "utf-8-sig"))
    except (OSError, ValueError) as error:
        raise_machine_fault(error)
        listing.skip("missing", path, "cannot be read as JSON: no video of this part has a label")
        return {}
    if isinstance(values, dict):
        return values
    listing.skip("bad_row", path, "is no JSON object of file names")
    return {}


def _truth(is_fake: bool, group: str) -> Forgery:
    return Forgery(is_fake=is_fake, original=group, segments=None if is_fake else ())


def _make_video(listing: Listing, file: ListedFile, video_id: str, forgery: Forgery, split: str) -> Video:
    return Video(
        source=listing.source,
        video_id=video_id,
        group_id=forgery.original,
        **file.stat_fields,
        labels=truth_labels(forgery, split=split),
    )


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name
