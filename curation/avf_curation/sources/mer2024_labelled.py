"""MER24-T&V: MER2024's video-labeled/ with label-disdim.csv; the four labelled sets of MER2023 together."""

from collections.abc import Iterator

from avf_curation.sources.listing import Listing
from avf_curation.sources.mer2023 import read_part
from avf_curation.sources.spreadsheet import read_rows
from avf_curation.sources.types import Video

NAME = "mer24"
ABOUT = (
    "MER24-T&V: the labelled clips of MER2024 (video-labeled/ and label-disdim.csv), which are the four "
    "labelled sets of MER2023 together. An optional val.csv (column name) says which of them are Val."
)
LABELLED = True
OWNERS_COUNT = 5_030
LAYOUT = "video-labeled/sample_00000000.mp4, label-disdim.csv (MER2024), val.csv"
_VAL = "val.csv"


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield all labelled clips.

    AVF-MAE++ trains on Train and tests on Val, and no published file says which clips are which. A val.csv with the
    names of Val makes the scheme `train_val`.

    Raises:
        UserError: there is no folder video-labeled/, or val.csv has no column `name`.
    """
    base = listing.find_base("mer2024-dataset", "video-labeled")
    val = None
    if listing.has_file(f"{base}{_VAL}"):
        rows = read_rows(listing.locate(f"{base}{_VAL}"), ("name",), f"--source {NAME}={listing.root}")
        val = {row["name"]: number for number, row in rows}

    def folds_of(name: str) -> dict[str, int]:
        return {} if val is None else {"train_val": int(name in val)}

    seen: set[str] = set()
    for video in read_part(listing, f"{base}video-labeled", f"{base}label-disdim.csv", folds_of):
        seen.add(video.video_id)
        yield video
    for name, number in (val or {}).items():
        if name not in seen:
            listing.skip("missing", f"{base}{_VAL}:{number}", f"no labelled clip {name}")
