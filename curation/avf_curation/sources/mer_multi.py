"""MER-MULTI: MER2023's train to train on, test1 to test on."""

from collections.abc import Iterator
from functools import partial

from avf_curation.sources.listing import Listing
from avf_curation.sources.mer2023 import read_part
from avf_curation.sources.types import Video

NAME = "mer_multi"
ABOUT = "MER-MULTI (MER2023): `train` to train on, `test1` to test on."
LABELLED = True
OWNERS_COUNT = 3_784
LAYOUT = "train/sample_00000000.mp4, test1/..., train-label.csv, test1-label.csv (MER2023)"


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield the clips of train and test1.

    Raises:
        UserError: there is no folder train/.
    """
    base = listing.find_base("mer2023-dataset", "train")
    for name, test_fold in (("train", 0), ("test1", 1)):
        folds_of = partial(_folds, test_fold)
        yield from read_part(listing, f"{base}{name}", f"{base}{name}-label.csv", folds_of)
    for name in ("test2", "test3"):
        if listing.has_folder(f"{base}{name}"):
            listing.skip("excluded", f"{base}{name}", "not a part of MER-MULTI; MER24-T&V has it")


def _folds(test_fold: int, name: str) -> dict[str, int]:
    return {"multi": test_fold}
