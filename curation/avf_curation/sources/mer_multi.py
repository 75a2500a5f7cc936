"""MER-MULTI: MER2023's train to train on, test1 to test on."""

from collections.abc import Iterator
from pathlib import Path

from avf_curation.sources.listing import Listing
from avf_curation.sources.mer2023 import read_part
from avf_curation.sources.types import SkippedInput, Video

NAME = "mer_multi"
ABOUT = "MER-MULTI (MER2023): `train` to train on, `test1` to test on."
LABELLED = True
OWNERS_COUNT = 3_784
LAYOUT = "train/sample_00000000.mp4, test1/..., train-label.csv, test1-label.csv (MER2023)"


def read(root: Path, skipped_inputs: list[SkippedInput]) -> Iterator[Video]:
    """Train and test1. Raises UserError for another layout."""
    listing = Listing("mer_multi", root, skipped_inputs)
    base = listing.base("mer2023-dataset", "train")
    for name, tested in (("train", 0), ("test1", 1)):
        yield from read_part(listing, f"{base}{name}", f"{base}{name}-label.csv", tested)
    for name in ("test2", "test3"):
        if listing.has(f"{base}{name}"):
            listing.note("excluded", f"{base}{name}", "no part of MER-MULTI; MER24-T&V has it")
