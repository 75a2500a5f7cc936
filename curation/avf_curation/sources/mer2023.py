"""MER2023, labelled: {train,test1,test2,test3}/NAME.EXT and train-label.csv, test1-label.csv, ...

MER-MULTI trains on `train` and is tested on `test1`; MER24-T&V is all four together, as MER2024's video-labeled/ has
them, so it holds MER-MULTI's test clips.
"""

import csv
from collections.abc import Iterator

from avf_shards.errors import UserError
from avf_shards.schema.labels import Labels

from avf_curation.sources.listing import ListedFile, Listing
from avf_curation.sources.types import Video

LABELS = ("neutral", "angry", "happy", "sad", "worried", "surprise")
_CLIP = r"sample(new)?_\d{8}\.(mp4|avi|mkv|mov)"


def read_part(listing: Listing, folder: str, table: str, tested: int | None) -> Iterator[Video]:
    """The clips of one folder with the labels of one table. tested: fold of the scheme `multi`, None without one."""
    clips = listing.by_stem(folder, _CLIP, "clip (sample_ or samplenew_ and eight digits)")
    for stem, label, valence in _rows(listing, table):
        clip = clips.pop(stem, None)
        if clip is None:
            listing.note("missing", f"{table}: {stem}", f"no such clip in {folder}/")
            continue
        yield _video(listing.source, stem, clip, label=label, valence=valence, tested=tested)
    for left in clips.values():
        listing.note("unlisted", left.path, f"{table} has no such row")


def _video(source: str, stem: str, clip: ListedFile, *, label: str, valence: str, tested: int | None) -> Video:
    values = {"emotion": label} | ({"valence": valence} if valence else {})
    said = Labels(values=values, folds={} if tested is None else {"multi": tested})
    return Video(
        source=source,
        video_id=stem,
        group_id=stem,
        path=clip.path,
        size_bytes=clip.size_bytes,
        mtime_ns=clip.mtime_ns,
        language="zh",
        labels=said,
    )


def _rows(listing: Listing, path: str) -> Iterator[tuple[str, str, str]]:
    """(name, label, valence) of a table `name,discrete[,valence]`."""
    seen: set[str] = set()
    with open(listing.root / path, encoding="utf-8", errors="replace", newline="") as file:
        rows = csv.DictReader(file)
        if not {"name", "discrete"} <= set(rows.fieldnames or ()):
            raise UserError(f"{listing.root / path}: no columns `name` and `discrete`")
        for number, row in enumerate(rows, 2):
            name, label = (row["name"] or "").strip(), (row["discrete"] or "").strip()
            if not name or label not in LABELS:
                listing.note("bad_row", f"{path}:{number}", f"label {label!r} is not one of {', '.join(LABELS)}")
            elif name in seen:
                listing.note("duplicate", f"{path}:{number}", f"{name} was listed before")
            else:
                seen.add(name)
                yield name, label, (row.get("valence") or "").strip()
