"""MER24-T&V: MER2024's video-labeled/ with label-disdim.csv; the four labelled sets of MER2023 in one."""

from collections.abc import Iterator
from pathlib import Path

from avf_curation.sources.listing import Listing
from avf_curation.sources.mer2023 import read_part
from avf_curation.sources.types import SkippedInput, Video

NAME = "mer24"
ABOUT = (
    "MER24-T&V: the labelled clips of MER2024 (video-labeled/ and label-disdim.csv), which are the four "
    "labelled sets of MER2023 together."
)
LABELLED = True
OWNERS_COUNT = 5_030
LAYOUT = "video-labeled/sample_00000000.mp4, label-disdim.csv (MER2024)"


def read(root: Path, skipped_inputs: list[SkippedInput]) -> Iterator[Video]:
    """All labelled clips. Raises UserError for another layout."""
    listing = Listing("mer24", root, skipped_inputs)
    base = listing.base("mer2024-dataset", "video-labeled")
    yield from read_part(listing, f"{base}video-labeled", f"{base}label-disdim.csv", None)
