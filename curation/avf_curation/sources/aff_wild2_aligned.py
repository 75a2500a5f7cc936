"""The aligned faces of Aff-Wild2: cropped_aligned/PERSON/00001.jpg, one folder of images for each annotated person.

Each image is a frame, at 25 a second and without sound, as in other sources of images; its number in the film is that
of its name, so that a frame without an image moves no label.
"""

from collections.abc import Iterator

from avf_shards.system.storage_faults import raise_machine_fault

from avf_curation.media.image_files import ImageFolder, list_images
from avf_curation.sources.aff_wild2 import find_folder, make_labels, note_without_pictures, split_side
from avf_curation.sources.frame_annotations import TrackAnnotations, read_annotations
from avf_curation.sources.listing import ListedFile, Listing
from avf_curation.sources.types import Video

NAME = "aff_wild2_aligned"
ABOUT = (
    "Aff-Wild2, the owners' aligned faces: a folder of images of 112 x 112 pixels for each annotated person, with "
    "the labels of aff_wild2; without sound."
)
LABELLED = True
OWNERS_COUNT = None
LAYOUT = "cropped_aligned/{1-30-1280x720,6-30-1920x1080_left}/00001.jpg, 6th_ABAW_Annotations/ as of aff_wild2"
_FOLDER = "cropped_aligned"


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield the images of each person that an annotation or a test list names.

    Raises:
        UserError: there is no folder cropped_aligned/.
    """
    base = find_folder(listing, (_FOLDER,))
    tracks = read_annotations(listing, base)
    folders = {entry.name: entry for entry in listing.list_entries(f"{base}{_FOLDER}", r"(?!\.).+", "person")}
    for track, folder in folders.items():
        annotations = tracks.pop(track, None)
        if not folder.is_folder:
            listing.skip("unexpected", folder.path, "is no folder of images")
        elif annotations is None:
            listing.skip("unlisted", folder.path, "no annotation and no test list names it")
        else:
            images = _list_images(listing, folder)
            if images is not None:
                yield _make_input(listing, folder, images, annotations)
    for annotations in tracks.values():
        note_without_pictures(listing, annotations, f"{_FOLDER}/ has no folder of this person")


def _list_images(listing: Listing, folder: ListedFile) -> ImageFolder | None:
    try:
        images = list_images(listing.root / folder.path)
    except OSError as error:
        raise_machine_fault(error)
        listing.skip_unreadable(folder.path, error)
        return None
    if not images.names:
        listing.skip("missing", folder.path, "a folder without numbered images")
        return None
    if len(set(images.numbers)) < len(images.numbers):
        listing.skip("duplicate", folder.path, "two images have the same number; keep one of them")
        return None
    if any(listing.skips_link(f"{folder.path}/{name}") for name in images.names):
        return None
    return images


def _make_input(listing: Listing, folder: ListedFile, images: ImageFolder, annotations: TrackAnnotations) -> Video:
    """Return a person's images as an input; note how many labelled frames have no image, and images no label."""
    total = annotations.labels_total
    missing = total - sum(1 <= number <= total for number in images.numbers)
    behind = sum(number > total for number in images.numbers) if annotations.frames else 0
    if missing or behind:
        reason = f"{missing:,} of {total:,} labelled frames have no image, {behind:,} images are behind the last label"
        listing.skip("missing", folder.path, reason)
    recording = split_side(folder.name)[0]
    return Video(
        source=listing.source,
        video_id=folder.name,
        group_id=recording,
        path=folder.path,
        size_bytes=images.size_bytes,
        mtime_ns=images.mtime_ns,
        labels=make_labels(annotations, recording),
    )
