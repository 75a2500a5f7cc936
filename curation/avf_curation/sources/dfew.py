"""DFEW: Clip/original/NNNNN.mp4, folds and labels in EmoLabel_DataSplit/{train,test}(single-labeled)/set_K.csv."""

import csv
from collections.abc import Iterator

from avf_shards.errors import UserError
from avf_shards.schema.labels import Labels

from avf_curation.sources.listing import Listing
from avf_curation.sources.spreadsheet import open_csv
from avf_curation.sources.types import Video
from avf_curation.sources.ungrouped_clips import ungrouped_clip_input

NAME = "dfew"
ABOUT = (
    "DFEW: clips from movies with one of seven expression labels and the owners' five folds; only the original "
    "clips have sound."
)
LABELLED = True
OWNERS_COUNT = 16_372
LAYOUT = "Clip/original/00001.mp4, EmoLabel_DataSplit/{train,test}(single-labeled)/set_1..5.csv"
LABELS = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")  # 1 to 7 in the owners' lists
_SPLIT = "EmoLabel_DataSplit"


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield the clips with a single label.

    Raises:
        UserError: the source has no lists or no clips.
    """
    if not listing.has_folder(_SPLIT) or not listing.has_folder("Clip/original"):
        raise UserError(
            f"--source {NAME}={listing.root}: {_SPLIT}/ and Clip/original/ must be in it; only the originals have sound"
        )
    labels: dict[str, str] = {}
    first: dict[str, str] = {}  # clip -> where its label stands
    test_folds: dict[str, int] = {}
    for part in ("train", "test"):
        for number in range(1, 6):
            for where, stem, label in _read_list(listing, part, number):
                before = labels.setdefault(stem, label)
                first.setdefault(stem, where)
                if before != label:
                    listing.skip("bad_row", where, f"{stem} has the label {label} here and {before} in {first[stem]}")
                elif part == "test":
                    test_folds[stem] = number
    unlabelled = 0
    for stem, clip in listing.files_by_stem("Clip/original", r"\d{5}\.mp4", "clip (five digits)").items():
        single = labels.pop(stem, None)
        if single is None:
            unlabelled += 1
            continue
        clip_labels = Labels(values={"single": single}, folds={"single": test_folds.get(stem, 0)})
        yield ungrouped_clip_input(listing, clip, labels=clip_labels)
    if unlabelled:
        listing.skip("excluded", "Clip/original", f"{unlabelled} clips without a single label")
    for stem in sorted(labels):
        listing.skip("missing", first[stem], f"Clip/original/ has no {stem}.mp4")


def _read_list(listing: Listing, part: str, number: int) -> Iterator[tuple[str, str, str]]:
    """Yield (file and line, stem, label) of one list, `video_name,label` with numbers for both."""
    names = [f"{_SPLIT}/{part}({spelling})/set_{number}.csv" for spelling in ("single-labeled", "single_labeled")]
    path = next((name for name in names if listing.has_file(name)), None)
    if path is None:
        listing.skip("missing", names[0], "this list of the owners is not there")
        return
    with open_csv(listing.locate(path), f"--source {listing.source}={listing.root}") as file:
        rows = csv.reader(file)
        for row in rows:
            where = f"{path}:{rows.line_num}"
            try:
                name, label = int(row[0]), int(row[1])
                if label < 1:  # a negative index would count from the end
                    raise IndexError
                yield where, f"{name:05d}", LABELS[label - 1]
            except (ValueError, IndexError):
                if rows.line_num > 1 and row:
                    listing.skip("bad_row", where, "is not VIDEO,LABEL with a label from 1 to 7")
