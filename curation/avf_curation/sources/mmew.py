"""MMEW: Micro_Expression/anger/S01-02-003/1.jpg, 90 images per second; the folder is the label."""

from collections.abc import Iterator

from avf_shards.errors import UserError

from avf_curation.sources.listing import Listing
from avf_curation.sources.micro_expression import ImageSequence, image_sequence_input
from avf_curation.sources.types import Video

NAME = "mmew"
ABOUT = (
    "MMEW: micro-expressions as folders of images, 90 per second, cut by the owners from onset to offset; "
    "the folder is the label; without sound."
)
LABELLED = True
OWNERS_COUNT = 300
LAYOUT = "Micro_Expression/{anger,disgust,fear,happiness,others,sadness,surprise}/S01-02-003/1.jpg"
_FOLDER = "Micro_Expression"
_EMOTIONS = ("anger", "disgust", "fear", "happiness", "others", "sadness", "surprise")
_IMAGES_PER_S = 90
_SUBJECT_LETTERS = 3  # S01 of S01-02-003


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield every clip of a micro-expression with all its images, which the owners cut from onset to offset.

    Raises:
        UserError: there is no folder of an emotion.
    """
    base = f"{listing.find_base('MMEW', _FOLDER)}{_FOLDER}"
    if not any(listing.has_folder(f"{base}/{emotion}") for emotion in _EMOTIONS):
        raise UserError(f"--source {NAME}={listing.root}: no folder such as {_FOLDER}/anger in it")
    for emotion in _EMOTIONS:
        folder = f"{base}/{emotion}"
        if not listing.has_folder(folder):
            listing.skip("missing", folder, "no such folder")
            continue
        for take in listing.list_entries(folder, r"S\d\d-\d\d-\d{3}", "clip (S01-02-003)"):
            sequence = ImageSequence(
                folder=take.path,
                video_id=take.name,
                subject=take.name[:_SUBJECT_LETTERS],
                emotion=emotion,
                images_per_s=_IMAGES_PER_S,
            )
            video = image_sequence_input(listing, sequence)
            if video is not None:
                yield video
