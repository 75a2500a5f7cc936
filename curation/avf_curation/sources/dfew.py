"""DFEW: Clip/original/NNNNN.mp4, folds and labels in EmoLabel_DataSplit/{train,test}(single-labeled)/set_K.csv."""

import csv
from collections.abc import Iterator
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.schema.labels import Labels

from avf_curation.sources.listing import Listing
from avf_curation.sources.types import SkippedInput, Video

NAME = "dfew"
ABOUT = (
    "DFEW: clips from films with one of seven expression labels and the owners' five folds; only the original "
    "clips have sound."
)
LABELLED = True
OWNERS_COUNT = 16_372
LAYOUT = "Clip/original/00001.mp4, EmoLabel_DataSplit/{train,test}(single-labeled)/set_1..5.csv"
LABELS = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")  # 1 to 7 in the owners' lists
_SPLIT = "EmoLabel_DataSplit"


def read(root: Path, skipped_inputs: list[SkippedInput]) -> Iterator[Video]:
    """The clips with one label. Raises UserError without lists or clips."""
    listing = Listing("dfew", root, skipped_inputs)
    if not listing.has(_SPLIT) or not listing.has("Clip/original"):
        raise UserError(
            f"--source dfew={root}: {_SPLIT}/ and Clip/original/ must be in it; only the originals have sound"
        )
    labels: dict[str, str] = {}
    tested: dict[str, int] = {}
    for part in ("train", "test"):
        for number in range(1, 6):
            for stem, label in _rows(listing, part, number):
                before = labels.setdefault(stem, label)
                if before != label:
                    listing.note("bad_row", f"{part}, set {number}", f"{stem} is {label} here and {before} elsewhere")
                elif part == "test":
                    tested[stem] = number
    unlabelled = 0
    for stem, clip in listing.by_stem("Clip/original", r"\d{5}\.mp4", "clip (five digits)").items():
        told = labels.pop(stem, None)
        if told is None:
            unlabelled += 1
            continue
        said = Labels(values={"single": told}, folds={"single": tested.get(stem, 0)})
        yield Video(
            source="dfew",
            video_id=stem,
            group_id=stem,
            path=clip.path,
            size_bytes=clip.size_bytes,
            mtime_ns=clip.mtime_ns,
            labels=said,
        )
    if unlabelled:
        listing.note("excluded", "Clip/original", f"{unlabelled} clips without a single label")
    for stem in sorted(labels):
        listing.note("missing", f"{stem}.mp4", "listed, but Clip/original/ has no such clip")


def _rows(listing: Listing, part: str, number: int) -> Iterator[tuple[str, str]]:
    """(stem, label) of one list, `video_name,label` with numbers for both."""
    names = [f"{_SPLIT}/{part}({spelling})/set_{number}.csv" for spelling in ("single-labeled", "single_labeled")]
    path = next((name for name in names if (listing.root / name).is_file()), None)
    if path is None:
        listing.note("missing", names[0], "a list of the owners")
        return
    with open(listing.root / path, encoding="utf-8", errors="replace", newline="") as file:
        for line, row in enumerate(csv.reader(file), 1):
            try:
                name, label = int(row[0]), int(row[1])
                yield f"{name:05d}", LABELS[label - 1 if label > 0 else 99]
            except (ValueError, IndexError):
                if line > 1 and row:
                    listing.note("bad_row", f"{path}:{line}", "is not VIDEO,LABEL with a label from 1 to 7")
