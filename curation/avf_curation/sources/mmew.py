"""MMEW: Micro_Expression/anger/S01-02-003/1.jpg, 90 pictures a second; the folder is the label."""

from collections.abc import Iterator
from pathlib import Path

from avf_shards.errors import UserError

from avf_curation.sources.listing import Listing
from avf_curation.sources.micro_expression import LabelledSequence, image_sequence_input
from avf_curation.sources.types import SkippedInput, Video

NAME = "mmew"
ABOUT = (
    "MMEW: micro-expressions as folders of images, 90 per second, cut by the owners from onset to offset; the "
    "folder is the label; without sound."
)
LABELLED = True
OWNERS_COUNT = 300
LAYOUT = "Micro_Expression/{anger,disgust,fear,happiness,others,sadness,surprise}/S01-02-003/1.jpg"
_BASE = "Micro_Expression"
_EMOTIONS = ("anger", "disgust", "fear", "happiness", "others", "sadness", "surprise")


def read(root: Path, skipped_inputs: list[SkippedInput]) -> Iterator[Video]:
    """Every clip of a micro-expression, whole: the owners cut them from onset to offset. Raises UserError."""
    listing = Listing("mmew", root, skipped_inputs)
    base = listing.base("MMEW", _BASE)
    if not any(listing.has(f"{base}{_BASE}/{emotion}") for emotion in _EMOTIONS):
        raise UserError(f"--source mmew={root}: no {_BASE}/anger and so on in it")
    for emotion in _EMOTIONS:
        if not listing.has(f"{base}{_BASE}/{emotion}"):
            listing.note("missing", f"{base}{_BASE}/{emotion}", "no such folder")
            continue
        for take in listing.entries(f"{base}{_BASE}/{emotion}", r"S\d\d-\d\d-\d{3}", "clip (S01-02-003)"):
            made = image_sequence_input(
                listing,
                LabelledSequence(
                    folder=take.path, video_id=take.name, subject=take.name[:3], emotion=emotion, pictures_per_s=90
                ),
            )
            if made is not None:
                yield made
