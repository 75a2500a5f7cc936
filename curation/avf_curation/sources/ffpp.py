"""FaceForensics++ and DFD: original_sequences/ and manipulated_sequences/ with splits/*.json. The videos have no sound.

A fake TARGET_SOURCE shows the film of TARGET with the face, or the movement, of SOURCE; its original is TARGET. The
splits are pairs of both, so that no identity is in two of them.
"""

import re
from collections.abc import Iterator

from avf_shards.errors import UserError
from avf_shards.schema.forgery import Forgery
from avf_shards.schema.labels import Labels
from avf_shards.system.storage_faults import raise_machine_fault, read_text
from avf_shards.text import load_json

from avf_curation.sources.forgery_labels import truth_labels
from avf_curation.sources.listing import ListedFile, Listing
from avf_curation.sources.types import Video

NAME = "ffpp"
ABOUT = (
    "FaceForensics++ and DFD: 1,000 YouTube videos and actors, and five or six manipulations of the face, in three "
    "qualities; no sound. DFD has no official split."
)
LABELLED = True
OWNERS_COUNT = None  # by manipulation and quality
LAYOUT = (
    "original_sequences/{youtube,actors}/{raw,c23,c40}/videos/000.mp4, "
    "manipulated_sequences/Deepfakes/c23/videos/000_003.mp4, splits/{train,val,test}.json"
)
_QUALITIES = ("raw", "c0", "c23", "c40")
_SPLITS = ("train", "val", "test")
_ACTORS = "actors"
_DFD_FAKE = re.compile(r"(\d+)_(\d+)__(.+)__\w+")


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield every video of the qualities that the folder has.

    Raises:
        UserError: there is neither a folder of originals nor of manipulations, or a list of a split is damaged.
    """
    splits = _read_splits(listing)
    folders = ("original_sequences", "manipulated_sequences")
    if not any(map(listing.has_folder, folders)):
        raise UserError(f"--source {NAME}={listing.root}: neither {' nor '.join(folders)} in it")
    reals: set[str] = set()
    for kind, quality, file in _list_files(listing, folders[0]):
        video_id = f"{kind}/{quality}/{file.stem}"
        reals.add(video_id)
        split = splits.get(file.stem) if kind != _ACTORS else None
        labels = _label(Forgery(is_fake=False, original=video_id), _subject(kind, file.stem), split, quality)
        yield _make_video(listing, file, video_id, labels)
    lone = 0
    for method, quality, file in _list_files(listing, folders[1]):
        names = _originals_of(file.stem)
        if names is None:
            listing.skip("unexpected", file.path, "is no fake: its name is not TARGET_SOURCE.mp4")
            continue
        folder, target = names
        original = f"{folder}/{quality}/{target}"
        lone += original not in reals
        split = splits.get(target) if folder != _ACTORS else None
        forgery = Forgery(is_fake=True, original=original, kind="video", method=method, segments=None)
        labels = _label(forgery, _subject(folder, target), split, quality)
        yield _make_video(listing, file, f"{method}/{quality}/{file.stem}", labels)
    if lone:
        listing.skip("missing", folders[0], f"the originals of {lone:,} fakes are not there, in their quality")


def _list_files(listing: Listing, folder: str) -> Iterator[tuple[str, str, ListedFile]]:
    """Yield (name of the folder, quality, video) of each mp4, in videos/ or beside it; masks are passed over."""
    if not listing.has_folder(folder):
        return
    for kind in listing.list_entries(folder, r"[A-Za-z0-9]+", "folder of a method or of originals"):
        for quality in _QUALITIES:
            base = f"{kind.path}/{quality}"
            if listing.has_folder(f"{base}/videos"):
                base += "/videos"
            for file in listing.files_by_stem(base, r"(?!\.).+\.mp4", "video").values():
                yield kind.name, quality, file


def _originals_of(stem: str) -> tuple[str, str] | None:
    """Return the folder and the name of the film that a fake changes; None where the name is of no fake."""
    if acted := _DFD_FAKE.fullmatch(stem):
        return _ACTORS, f"{acted[1]}__{acted[3]}"
    return ("youtube", stem.split("_")[0]) if re.fullmatch(r"\d+_\d+", stem) else None


def _subject(folder: str, name: str) -> str:
    return f"actor_{name.split('__')[0]}" if folder == _ACTORS else name


def _make_video(listing: Listing, file: ListedFile, video_id: str, labels: Labels) -> Video:
    return Video(
        source=listing.source,
        video_id=video_id,
        group_id=labels.session or video_id,  # all qualities and methods of one film
        **file.stat_fields,
        speaker=labels.subject,
        labels=labels,
    )


def _label(forgery: Forgery, subject: str, split: str | None, quality: str) -> Labels:
    owners = {"quality": quality}
    return truth_labels(forgery, split=split, subject=subject, session=subject, owners=owners)


def _read_splits(listing: Listing) -> dict[str, str]:
    """Return number of a film -> split. Raises UserError for a list that is damaged."""
    splits: dict[str, str] = {}
    for split in _SPLITS:
        path = f"splits/{split}.json"
        try:
            pairs = load_json(read_text(listing.locate(path), "utf-8-sig"))
        except OSError as error:
            raise_machine_fault(error)
            listing.skip("missing", path, "no list of this split: its videos have none")
            continue
        except ValueError:
            pairs = None
        if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            raise UserError(f"--source {NAME}={listing.root}: {path} is no JSON list of pairs")
        for name in (str(name) for pair in pairs for name in pair):
            before = splits.setdefault(name, split)
            if before != split:
                listing.skip("duplicate", path, f"{name} is in {before} too, for which it counts")
    return splits
