"""The real videos that forgeries are made of: whose they are, in which split, and who lends a voice or a face."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from avf_shards.errors import UserError
from avf_shards.sampling.hash_draw import priority

from avf_curation.recipe import load_recipe
from avf_curation.sources.registry import list_inputs
from avf_curation.sources.types import SkippedInput

_SOURCE = "originals"
_MIN_SPLIT_PEOPLE = 10  # with fewer there is no split: each part needs two people, of whom one lends to the other
_SPLITS = (("test", 0.2), ("val", 0.1))


@dataclass(frozen=True, kw_only=True)
class Original:
    """A real video."""

    name: str  # of its folder below OUT
    path: str  # below the user's folder; may hold bytes that are no UTF-8
    size_bytes: int
    subject: str  # the person on the screen
    split: str  # train, val or test; empty: too few people for a split


def list_originals(folder: Path, seed: int, *, follow_symlinks: bool) -> tuple[list[Original], list[SkippedInput]]:
    """Return the real videos below a folder, sorted, and the files that are none.

    The person is the column `subject` of a labels.csv, else the folder that the file lies in, else the file itself.

    Raises UserError for a folder without a video.
    """
    skipped: list[SkippedInput] = []
    config = load_recipe().defaults.plan
    videos = []
    for video in list_inputs(_SOURCE, folder, config, skipped, follow_symlinks=follow_symlinks):
        forgery = video.labels.forgery if video.labels else None
        if forgery is None or not forgery.is_fake:
            videos.append(video)
    if not videos:
        raise UserError(f"{folder}: holds no real video; name the folder of your videos")
    videos.sort(key=lambda video: video.video_id)
    stems = Counter(_stem(video.video_id) for video in videos)
    subjects = [video.speaker or _person_of(video.video_id) for video in videos]
    splits = assign_splits(subjects, seed)
    originals = [
        Original(
            name=_to_cell(_stem(video.video_id) if stems[_stem(video.video_id)] == 1 else video.video_id),
            path=video.path,
            size_bytes=video.size_bytes,
            subject=subject,
            split=splits[subject],
        )
        for video, subject in zip(videos, subjects, strict=True)
    ]
    return originals, skipped


def assign_splits(subjects: Sequence[str], seed: int) -> dict[str, str]:
    """Return person -> split: a fifth of the people test, a tenth val, at least two each; all empty for few people."""
    people = sorted(set(subjects), key=lambda name: priority(name, seed))
    if len(people) < _MIN_SPLIT_PEOPLE:
        return dict.fromkeys(people, "")
    splits = dict.fromkeys(people, "train")
    first = 0
    for split, share in _SPLITS:
        count = max(2, round(share * len(people)))
        splits |= dict.fromkeys(people[first : first + count], split)
        first += count
    return splits


def donors_of(original: Original, originals: Sequence[Original], seed: int) -> list[Original]:
    """Return the videos of other people of the same split, in the order in which they are asked to lend."""
    others = [other for other in originals if other.subject != original.subject and other.split == original.split]
    return sorted(others, key=lambda other: priority(f"{original.name}\0{other.name}", seed))


def _stem(video_id: str) -> str:
    path = PurePosixPath(video_id)
    return str(path.with_suffix("")) if path.suffix and path.stem else video_id


def _to_cell(name: str) -> str:
    """Return a name that a table gives back as it is: readers of tables take spaces at the start of a cell away."""
    return name if name == name.lstrip() else f"_{name}"


def _person_of(video_id: str) -> str:
    parent = str(PurePosixPath(video_id).parent)
    return _stem(video_id) if parent == "." else parent
