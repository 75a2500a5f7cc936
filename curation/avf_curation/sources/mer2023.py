"""Shared parts of MER2023's labelled sets: {train,test1,test2,test3}/NAME.EXT, train-label.csv, test1-label.csv, ...

MER-MULTI trains on `train` and tests on `test1`. MER24-T&V is all four sets together, as MER2024's video-labeled/ has
them, so it holds MER-MULTI's test clips.
"""

import csv
from collections.abc import Callable, Iterator, Mapping

from avf_shards.errors import UserError
from avf_shards.schema.labels import Labels

from avf_curation.sources.listing import Listing
from avf_curation.sources.spreadsheet import open_csv
from avf_curation.sources.types import Video
from avf_curation.sources.ungrouped_clips import ungrouped_clip_input

LABELS = ("neutral", "angry", "happy", "sad", "worried", "surprise")
_CLIP = r"sample(new)?_\d{8}\.(mp4|avi|mkv|mov)"


def read_part(
    listing: Listing, folder: str, table: str, folds_of: Callable[[str], Mapping[str, int]]
) -> Iterator[Video]:
    """Yield the clips of one folder with the labels of one table.

    Args:
        folds_of: returns for a clip's name the test fold in each scheme (0: only for training).
    """
    clips = listing.files_by_stem(folder, _CLIP, "clip (sample_ or samplenew_ and eight digits)")
    for line, stem, label, valence in _read_rows(listing, table):
        clip = clips.pop(stem, None)
        if clip is None:
            listing.skip("missing", f"{table}:{line}", f"no clip {stem} in {folder}/")
            continue
        values = {"emotion": label} | ({"valence": valence} if valence else {})
        labels = Labels(values=values, folds=dict(folds_of(stem)))
        yield ungrouped_clip_input(listing, clip, language="zh", labels=labels)
    for clip in clips.values():
        listing.skip("unlisted", clip.path, f"{table} has no such row")


def _read_rows(listing: Listing, path: str) -> Iterator[tuple[int, str, str, str]]:
    """Yield (line, name, label, valence) of a table `name,discrete[,valence]`."""
    seen: dict[str, int] = {}
    with open_csv(listing.locate(path), f"--source {listing.source}={listing.root}") as file:
        rows = csv.DictReader(file)
        if not {"name", "discrete"} <= set(rows.fieldnames or ()):
            raise UserError(
                f"{listing.root / path}: the columns `name` and `discrete` are missing; is it the owners' table?"
            )
        for row in rows:
            number = rows.line_num  # blank lines count, and are no rows
            name, label = (row["name"] or "").strip(), (row["discrete"] or "").strip()
            if not name or label not in LABELS:
                listing.skip("bad_row", f"{path}:{number}", f"label {label!r} is not one of {', '.join(LABELS)}")
            elif name in seen:
                listing.skip("duplicate", f"{path}:{number}", f"{name} was listed before, in line {seen[name]}")
            else:
                seen[name] = number
                yield number, name, label, (row.get("valence") or "").strip()
