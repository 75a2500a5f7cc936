"""CASIA-WebFace: a folder of pictures for each person, 0000045/001.jpg, or train.rec and train.idx."""

from collections.abc import Iterator

from avf_curation.sources.listing import Listing
from avf_curation.sources.pictures.identities import list_identities
from avf_curation.sources.pictures.types import Picture

NAME = "casia_webface"
ABOUT = "CASIA-WebFace: face pictures of 10,575 persons, in folders or packed by MXNet; without other labels."
LABELLED = False
OWNERS_COUNT = 494_414
LAYOUT = "0000045/001.jpg (or CASIA-WebFace/0000045/001.jpg), or train.rec and train.idx"


def list_pictures(listing: Listing) -> Iterator[Picture]:
    """Yield every picture. Raises UserError where there is neither a folder of a person nor train.rec."""
    folders = ("", "CASIA-WebFace", "casia-webface", "faces_webface_112x112")
    yield from list_identities(listing, folders, r"\d{7}", "person's folder (seven digits)")
