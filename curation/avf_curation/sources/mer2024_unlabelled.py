"""MER2024, unlabelled: mer2024-dataset/video-unlabeled-with-test2noise/NAME.mp4; Mandarin, one clip a file.

The pool also holds the challenge's test clips under other names; only the organisers can tell which. The labelled
clips are for evaluation: this reader excludes them and their list.
"""

import csv
from collections.abc import Iterator

from avf_curation.sources.listing import Listing
from avf_curation.sources.spreadsheet import open_csv
from avf_curation.sources.types import Video
from avf_curation.sources.ungrouped_clips import ungrouped_clip_input

NAME = "mer2024"
ABOUT = (
    "MER2024, the unlabelled pool: Mandarin, one clip per file. The labelled clips are for evaluation and are "
    "excluded. The pool also holds the challenge's test clips under other names, which only the organisers "
    "can tell."
)
LABELLED = False
OWNERS_COUNT = 115_595
LAYOUT = "video-unlabeled-with-test2noise/samplenew_00000000.mp4; video-labeled/ and label-disdim.csv are excluded"
_POOL, _LABELLED, _LIST = "video-unlabeled-with-test2noise", "video-labeled", "label-disdim.csv"


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield the clips of the unlabelled pool.

    Raises:
        UserError: the source has no unlabelled pool.
    """
    base = listing.find_base("mer2024-dataset", _POOL)
    labelled: set[str] = set()
    if listing.has_folder(f"{base}{_LABELLED}"):
        labelled = set(listing.files_by_stem(f"{base}{_LABELLED}", r"(?!\.).*\.\w+", "clip"))
        listing.skip("excluded", f"{base}{_LABELLED}", f"{len(labelled)} labelled clips: for evaluation")
    if listing.has_file(f"{base}{_LIST}"):
        _note_bad_rows(listing, f"{base}{_LIST}", labelled)
    for stem, clip in listing.files_by_stem(f"{base}{_POOL}", r"(?!\.).*\.(mp4|avi|mkv|mov)", "clip").items():
        if stem in labelled:
            listing.skip("duplicate", clip.path, "a labelled clip has this name: excluded, as it is for evaluation")
            continue
        yield ungrouped_clip_input(listing, clip, language="zh")


def _note_bad_rows(listing: Listing, path: str, labelled: set[str]) -> None:
    """Note the rows of the labelled list that have no clip or no name."""
    with open_csv(listing.locate(path), f"--source {listing.source}={listing.root}") as file:
        rows = csv.DictReader(file)
        if "name" not in (rows.fieldnames or ()):
            listing.skip("bad_row", f"{path}:1", "no column `name`")
            return
        for row in rows:
            number = rows.line_num  # blank lines count, and are no rows
            name = (row["name"] or "").strip()
            if not name:
                listing.skip("bad_row", f"{path}:{number}", "no name")
            elif name not in labelled:
                listing.skip("missing", f"{path}:{number}", f"no clip {name} in {_LABELLED}/")
