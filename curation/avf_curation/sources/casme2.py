"""CASME II: CASME2_RAW_selected/sub01/EP02_01f/img46.jpg, 200 images per second, labels in a coding table."""

from collections.abc import Iterator

from avf_curation.sources.listing import Listing
from avf_curation.sources.micro_expression import coded_sample_input, find_coding_table, read_coded_samples
from avf_curation.sources.types import Video

NAME = "casme2"
ABOUT = "CASME II: micro-expressions as folders of images, 200 per second, with a coding table; without sound."
LABELLED = True
OWNERS_COUNT = 255
LAYOUT = "CASME2_RAW_selected/sub01/EP02_01f/img46.jpg (or CASME2-RAW, Cropped), CASME2-coding-20140508.xlsx"
_TABLES = ("CASME2-coding-20190701.xlsx", "CASME2-coding-20140508.xlsx")
_FOLDERS = ("CASME2_RAW_selected", "CASME2-RAW", "Cropped")
_IMAGES_PER_S = 200
_CORRECTED_OFFSETS = {60: 91}  # in this row of the owners' table the offset lies before the onset
_EXCLUDED = ("sub04", "EP12_01f")  # by the three-emotion protocol


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield every row of the table that has images.

    Raises:
        UserError: there is no coding table.
    """
    table = find_coding_table(listing, _TABLES)
    folder = next((name for name in _FOLDERS if listing.has_folder(name)), _FOLDERS[0])
    for sample in read_coded_samples(listing, table, "onsetframe", "offsetframe", _CORRECTED_OFFSETS):
        subject = f"sub{sample.subject:02d}"
        path = f"{folder}/{subject}/{sample.take}"
        if (subject, sample.take) == _EXCLUDED:
            listing.skip("excluded", path, "the three-emotion protocol leaves the clip out")
            continue
        video_id = f"{subject}/{sample.take}"
        video = coded_sample_input(
            listing, sample, folder=path, video_id=video_id, subject=subject, images_per_s=_IMAGES_PER_S
        )
        if video is not None:
            yield video
