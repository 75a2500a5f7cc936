"""SMIC-HS: HS/s1/micro/negative/s1_ne_01/reg_image000123.bmp, 100 images per second; the folder is the label."""

from collections.abc import Iterator

from avf_shards.errors import UserError

from avf_curation.sources.listing import Listing
from avf_curation.sources.micro_expression import ImageSequence, image_sequence_input
from avf_curation.sources.types import Video

NAME = "smic"
ABOUT = "SMIC-HS: micro-expressions as folders of images, 100 per second; the folder is the label; without sound."
LABELLED = True
OWNERS_COUNT = 164
LAYOUT = "SMIC_all_cropped/HS/s1/micro/{negative,positive,surprise}/s1_ne_01/reg_image000123.bmp (or SMIC_all_raw)"
_ROOTS = ("SMIC_all_cropped/HS", "SMIC_all_raw/HS", "HS", "")
_IMAGES_PER_S = 100
_CODES = {"negative": "ne", "positive": "po", "surprise": "sur"}  # as the clips' names abbreviate the labels


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield every clip of a micro-expression; the clips in non_micro/ are excluded.

    Raises:
        UserError: there is no folder of a subject.
    """
    base = next((name for name in _ROOTS if any((listing.root / name).glob("s[0-9]*/micro"))), None)
    if base is None:
        raise UserError(f"--source {NAME}={listing.root}: no folder such as s1/micro in it or in its {_ROOTS[0]}")
    for subject in listing.list_entries(base, r"s\d{1,2}", "subject (s1 to s20)"):
        for emotion, code in _CODES.items():
            folder = f"{subject.path}/micro/{emotion}"
            if not listing.has_folder(folder):
                continue
            pattern, expected = rf"{subject.name}_{code}_\d+", f"clip ({subject.name}_{code}_01)"
            for take in listing.list_entries(folder, pattern, expected):
                sequence = ImageSequence(
                    folder=take.path,
                    video_id=take.name,
                    subject=subject.name,
                    emotion=emotion,
                    images_per_s=_IMAGES_PER_S,
                )
                video = image_sequence_input(listing, sequence)
                if video is not None:
                    yield video
        if listing.has_folder(f"{subject.path}/non_micro"):
            listing.skip("excluded", f"{subject.path}/non_micro", "no micro-expressions")
