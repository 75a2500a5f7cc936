"""CASME II: CASME2_RAW_selected/sub01/EP02_01f/img46.jpg, 200 pictures a second, labels in a coding table."""

from collections.abc import Iterator
from pathlib import Path

from avf_curation.sources.listing import Listing
from avf_curation.sources.micro_expression import (
    LabelledSequence,
    coded_samples,
    image_sequence_input,
    read_coding_table,
)
from avf_curation.sources.types import SkippedInput, Video

NAME = "casme2"
ABOUT = "CASME II: micro-expressions as folders of images, 200 per second, with a coding table; without sound."
LABELLED = True
OWNERS_COUNT = 255
LAYOUT = "CASME2_RAW_selected/sub01/EP02_01f/img46.jpg (or CASME2-RAW, Cropped), CASME2-coding-20140508.xlsx"
_TABLES = ("CASME2-coding-20190701.xlsx", "CASME2-coding-20140508.xlsx")
_FOLDERS = ("CASME2_RAW_selected", "CASME2-RAW", "Cropped")
_OFFSETS = {60: 91}  # row of the owners' table whose offset lies before its onset -> what it must be
_UNUSABLE = ("sub04", "EP12_01f")  # left out of the three-emotion protocol


def read(root: Path, skipped_inputs: list[SkippedInput]) -> Iterator[Video]:
    """Every row of the table whose pictures are there. Raises UserError for another layout."""
    listing = Listing("casme2", root, skipped_inputs)
    table = read_coding_table(listing, _TABLES)
    folder = next((name for name in _FOLDERS if listing.has(name)), _FOLDERS[0])
    for row in coded_samples(listing, table, "onsetframe", "offsetframe", _OFFSETS):
        person, take = f"sub{row.subject:02d}", row.take
        if (person, take) == _UNUSABLE:
            listing.note("excluded", f"{folder}/{person}/{take}", "left out of the three-emotion protocol")
            continue
        path, name = f"{folder}/{person}/{take}", f"{person}/{take}"
        made = image_sequence_input(
            listing,
            LabelledSequence(
                folder=path,
                video_id=name,
                subject=person,
                emotion=row.emotion,
                pictures_per_s=200,
                onset=row.onset,
                offset=row.offset,
                more=row.more,
            ),
        )
        if made is not None:
            yield made
