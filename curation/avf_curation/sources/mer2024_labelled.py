"""MER24-T&V: MER2024's video-labeled/ with label-disdim.csv; the four labelled sets of MER2023 together."""

from collections.abc import Iterator

from avf_curation.sources.listing import Listing
from avf_curation.sources.mer2023 import read_part
from avf_curation.sources.types import Video

NAME = "mer24"
ABOUT = (
    "MER24-T&V: the labelled clips of MER2024 (video-labeled/ and label-disdim.csv), which are the four "
    "labelled sets of MER2023 together."
)
LABELLED = True
OWNERS_COUNT = 5_030
LAYOUT = "video-labeled/sample_00000000.mp4, label-disdim.csv (MER2024)"


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield all labelled clips.

    Raises:
        UserError: there is no folder video-labeled/.
    """
    base = listing.find_base("mer2024-dataset", "video-labeled")
    yield from read_part(listing, f"{base}video-labeled", f"{base}label-disdim.csv", test_fold=None)
