"""WebFace260M: a folder of aligned pictures of 112 x 112 pixels for each person, 0_0_0000001/0_0.jpg, or train.rec."""

from collections.abc import Iterator

from avf_curation.sources.listing import Listing
from avf_curation.sources.pictures.identities import list_identities
from avf_curation.sources.pictures.types import Picture

NAME = "webface260m"
ABOUT = (
    "WebFace260M and its cleaned parts (WebFace42M, 12M, 4M): aligned face pictures in folders of persons, or packed "
    "by MXNet; its owners ask for an agreement."
)
LABELLED = False
OWNERS_COUNT = None
LAYOUT = "0_0_0000001/0_0.jpg (or WebFace42M/0_0_0000001/0_0.jpg), or train.rec and train.idx"


def list_pictures(listing: Listing) -> Iterator[Picture]:
    """Yield every picture. Raises UserError where there is neither a folder of a person nor train.rec."""
    folders = ("", "WebFace260M", "WebFace42M", "WebFace12M", "WebFace4M")
    yield from list_identities(listing, folders, r"\d+_\d+_\d+", "person's folder (0_0_0000001)")
