"""CASME II: CASME2_RAW_selected/sub01/EP02_01f/img46.jpg, 200 pictures a second, labels in a coding table."""

from collections.abc import Iterator
from pathlib import Path

from avf_curation.inputs import SetAside, Video
from avf_curation.sources.listing import Listing
from avf_curation.sources.micro import sequence, table_of
from avf_curation.sources.sheet import rows_of, whole

OWNERS_COUNT = 255
LAYOUT = "CASME2_RAW_selected/sub01/EP02_01f/img46.jpg (or CASME2-RAW, Cropped), CASME2-coding-20140508.xlsx"
_TABLES = ("CASME2-coding-20190701.xlsx", "CASME2-coding-20140508.xlsx")
_FOLDERS = ("CASME2_RAW_selected", "CASME2-RAW", "Cropped")
_TYPO, _MEANT = 60, 91  # an offset that the owners' table has before its onset, and what it must be
_UNUSABLE = ("sub04", "EP12_01f")  # left out of the three-emotion protocol


def read(root: Path, aside: list[SetAside]) -> Iterator[Video]:
    """Every row of the table whose pictures are there. Raises UserError for another layout."""
    listing = Listing("casme2", root, aside)
    table = table_of(listing, _TABLES)
    folder = next((name for name in _FOLDERS if listing.has(name)), _FOLDERS[0])
    needed = ("subject", "filename", "onsetframe", "offsetframe", "estimated emotion")
    for number, row in rows_of(table, needed, f"--source casme2={root}"):
        subject, onset, offset = whole(row["subject"]), whole(row["onsetframe"]), whole(row["offsetframe"])
        if subject is None or onset is None or offset is None:
            listing.note("bad_row", f"{table.name}: row {number}", "subject, onset or offset is no number")
            continue
        if offset == _TYPO and offset < onset:
            offset = _MEANT
        person, take = f"sub{subject:02d}", row["filename"]
        if (person, take) == _UNUSABLE:
            listing.note("left_out", f"{folder}/{person}/{take}", "left out of the three-emotion protocol")
            continue
        path, more = f"{folder}/{person}/{take}", {"action_units": row.get("action units", "")}
        emotion = row["estimated emotion"].lower()
        made = sequence(listing, path, f"{person}/{take}", person, emotion, 200, onset, offset, more)
        if made is not None:
            yield made
