"""SAMM: SAMM/006/006_1_2/006_05562.jpg, 200 grey pictures a second, labels in SAMM_Micro_FACS_Codes_v2.xlsx."""

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

NAME = "samm"
ABOUT = "SAMM: micro-expressions as folders of grey images, 200 per second, with a coding table; without sound."
LABELLED = True
OWNERS_COUNT = 159
LAYOUT = "SAMM/006/006_1_2/006_05562.jpg, SAMM_Micro_FACS_Codes_v2.xlsx"
_OFFSETS = {56: 5739}  # row of the owners' table whose offset lies before its onset -> what it must be


def read(root: Path, skipped_inputs: list[SkippedInput]) -> Iterator[Video]:
    """Every row of the table whose pictures are there. Raises UserError for another layout."""
    listing = Listing("samm", root, skipped_inputs)
    table = read_coding_table(listing, ("SAMM_Micro_FACS_Codes_v2.xlsx",))
    base = "SAMM/" if listing.has("SAMM") else ""
    for row in coded_samples(listing, table, "onset frame", "offset frame", _OFFSETS):
        person, path = f"{row.subject:03d}", f"{base}{row.subject:03d}/{row.take}"
        made = image_sequence_input(
            listing,
            LabelledSequence(
                folder=path,
                video_id=row.take,
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
