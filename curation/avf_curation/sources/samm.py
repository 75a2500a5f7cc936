"""SAMM: SAMM/006/006_1_2/006_05562.jpg, 200 grey images per second, labels in SAMM_Micro_FACS_Codes_v2.xlsx."""

from collections.abc import Iterator
from pathlib import Path

from avf_curation.sources.listing import Listing
from avf_curation.sources.micro_expression import (
    ImageSequence,
    find_coding_table,
    image_sequence_input,
    read_coded_samples,
)
from avf_curation.sources.types import SkippedInput, Video

NAME = "samm"
ABOUT = "SAMM: micro-expressions as folders of grey images, 200 per second, with a coding table; without sound."
LABELLED = True
OWNERS_COUNT = 159
LAYOUT = "SAMM/006/006_1_2/006_05562.jpg, SAMM_Micro_FACS_Codes_v2.xlsx"
_CORRECTED_OFFSETS = {56: 5739}  # in this row of the owners' table the offset lies before the onset


def list_videos(root: Path, skipped_inputs: list[SkippedInput]) -> Iterator[Video]:
    """Yield every row of the table whose images are there.

    Raises:
        UserError: there is no coding table.
    """
    listing = Listing(NAME, root, skipped_inputs)
    table = find_coding_table(listing, ("SAMM_Micro_FACS_Codes_v2.xlsx",))
    base = "SAMM/" if listing.has_folder("SAMM") else ""
    for sample in read_coded_samples(listing, table, "onset frame", "offset frame", _CORRECTED_OFFSETS):
        subject = f"{sample.subject:03d}"
        sequence = ImageSequence(
            folder=f"{base}{subject}/{sample.take}",
            video_id=sample.take,
            subject=subject,
            emotion=sample.emotion,
            images_per_s=200,
            onset=sample.onset,
            offset=sample.offset,
            other_labels=sample.other_labels,
        )
        video = image_sequence_input(listing, sequence)
        if video is not None:
            yield video
