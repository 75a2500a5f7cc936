"""SAMM: SAMM/006/006_1_2/006_05562.jpg, 200 grey images per second, labels in SAMM_Micro_FACS_Codes_v2.xlsx."""

from collections.abc import Iterator

from avf_curation.sources.listing import Listing
from avf_curation.sources.micro_expression import coded_sample_input, find_coding_table, read_coded_samples
from avf_curation.sources.types import Video

NAME = "samm"
ABOUT = "SAMM: micro-expressions as folders of grey images, 200 per second, with a coding table; without sound."
LABELLED = True
OWNERS_COUNT = 159
LAYOUT = "SAMM/006/006_1_2/006_05562.jpg, SAMM_Micro_FACS_Codes_v2.xlsx"
_IMAGES_PER_S = 200
_CORRECTED_OFFSETS = {56: 5739}  # in this row of the owners' table the offset lies before the onset


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield every row of the table that has images.

    Raises:
        UserError: there is no coding table.
    """
    table = find_coding_table(listing, ("SAMM_Micro_FACS_Codes_v2.xlsx",))
    base = "SAMM/" if listing.has_folder("SAMM") else ""
    for sample in read_coded_samples(listing, table, "onset frame", "offset frame", _CORRECTED_OFFSETS):
        subject = f"{sample.subject:03d}"
        folder = f"{base}{subject}/{sample.take}"
        video = coded_sample_input(
            listing, sample, folder=folder, video_id=sample.take, subject=subject, images_per_s=_IMAGES_PER_S
        )
        if video is not None:
            yield video
