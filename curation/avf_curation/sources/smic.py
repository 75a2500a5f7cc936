"""SMIC-HS: HS/s1/micro/negative/s1_ne_01/reg_image000123.bmp, 100 pictures a second; the folder is the label."""

from collections.abc import Iterator
from pathlib import Path

from avf_shards.errors import UserError

from avf_curation.sources.listing import Listing
from avf_curation.sources.micro_expression import LabelledSequence, image_sequence_input
from avf_curation.sources.types import SkippedInput, Video

NAME = "smic"
ABOUT = "SMIC-HS: micro-expressions as folders of images, 100 per second; the folder is the label; without sound."
LABELLED = True
OWNERS_COUNT = 164
LAYOUT = "SMIC_all_cropped/HS/s1/micro/{negative,positive,surprise}/s1_ne_01/reg_image000123.bmp (or SMIC_all_raw)"
_ROOTS = ("SMIC_all_cropped/HS", "SMIC_all_raw/HS", "HS", "")
_CODES = {"negative": "ne", "positive": "po", "surprise": "sur"}


def read(root: Path, skipped_inputs: list[SkippedInput]) -> Iterator[Video]:
    """Every clip of a micro-expression; non_micro ones are left out. Raises UserError when no subject is there."""
    listing = Listing("smic", root, skipped_inputs)
    base = next((name for name in _ROOTS if any((root / name).glob("s[0-9]*/micro"))), None)
    if base is None:
        raise UserError(f"--source smic={root}: no s1/micro and so on in it or in {_ROOTS[0]}")
    for person in listing.entries(base, r"s\d{1,2}", "subject (s1 to s20)"):
        for emotion, code in _CODES.items():
            below = f"{person.path}/micro/{emotion}"
            if not listing.has(below):
                continue
            for take in listing.entries(below, rf"{person.name}_{code}_\d+", f"clip ({person.name}_{code}_01)"):
                made = image_sequence_input(
                    listing,
                    LabelledSequence(
                        folder=take.path, video_id=take.name, subject=person.name, emotion=emotion, pictures_per_s=100
                    ),
                )
                if made is not None:
                    yield made
        if listing.has(f"{person.path}/non_micro"):
            listing.note("excluded", f"{person.path}/non_micro", "no micro-expressions")
