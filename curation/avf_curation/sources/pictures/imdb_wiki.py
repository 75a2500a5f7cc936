"""IMDB-WIKI: imdb_crop/00/nm0000100.jpg and imdb.mat, wiki_crop/ and wiki.mat; one part or both."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from avf_shards.errors import UserError

from avf_curation.sources.listing import ListedFile, Listing
from avf_curation.sources.pictures.mat_process import read_mat
from avf_curation.sources.pictures.types import Picture
from avf_curation.sources.table_process import TableError

NAME = "imdb_wiki"
ABOUT = (
    "IMDB-WIKI: cropped face pictures of IMDb and Wikipedia; those in which the owners' detector saw no face, or a "
    "second one, are left out and counted. Used without labels."
)
LABELLED = False
OWNERS_COUNT = 523_051
LAYOUT = "imdb_crop/00/nm0000100_rm46373120_1955-1-6_2003.jpg with imdb.mat, wiki_crop/ with wiki.mat"
MIN_FACE_SCORE = 1.0  # of the owners' detector; without a face it is -inf
_PARTS = ("imdb", "wiki")
_PICTURE = r"(?i)(?!\.).+\.(jpg|jpeg|png)"


def list_pictures(listing: Listing) -> Iterator[Picture]:
    """Yield every picture with one face. Raises UserError where neither part is there, or a table cannot be read."""
    parts = [part for part in _PARTS if listing.has_folder(f"{part}_crop")]
    if not parts:
        raise UserError(
            f"--source {listing.source}={listing.root}: there is neither imdb_crop/ nor wiki_crop/ in it; "
            "`avf-curate sources ls` shows the owners' layout"
        )
    for part in parts:
        table = next((path for path in (f"{part}_crop/{part}.mat", f"{part}.mat") if listing.has_file(path)), None)
        if table is None:
            raise UserError(f"--source {listing.source}={listing.root}: {part}.mat is not beside {part}_crop/")
        yield from _list_part(listing, part, table)


def _list_part(listing: Listing, part: str, table: str) -> Iterator[Picture]:
    files: dict[str, ListedFile] = {}
    for folder in listing.list_entries(f"{part}_crop", rf"\d\d|{part}\.mat", "folder (two digits)"):
        if folder.is_folder:
            for file in listing.list_entries(folder.path, _PICTURE, "picture"):
                files[f"{folder.name}/{file.name}"] = file
    listed: set[str] = set()
    try:
        for number, row in enumerate(read_mat(listing.locate(table), part), 1):
            where, name = f"{table}: entry {number}", str(PurePosixPath(row["path"]))
            fault = _describe_faces(row)
            if name in listed:
                listing.skip("duplicate", where, f"{name} was listed before")
            elif name not in files:
                listing.skip("missing", where, f"no picture {name[:120]!r} in {part}_crop/")
            elif fault is not None:
                listing.skip("excluded", files[name].path, fault)
            else:
                file = files[name]
                yield Picture(
                    picture_id=f"{part}/{name}",
                    **file.stat_fields,
                    box_px=None if row["box"] is None else tuple(row["box"]),
                )
            listed.add(name)
    except TableError as error:
        raise UserError(
            f"--source {listing.source}={listing.root}: {table} cannot be read ({error}); is it the owners' table?"
        ) from None
    for name in sorted(files.keys() - listed):
        listing.skip("unlisted", files[name].path, f"{table} has no such entry")


def _describe_faces(row: dict[str, Any]) -> str | None:
    """Return why a picture is left out by what the owners' detector saw; None where it saw one face."""
    if row["score"] is None:
        return "no face"
    if row["score"] < MIN_FACE_SCORE:
        return f"face score {row['score']:g} is below {MIN_FACE_SCORE:g}"
    return None if row["second"] is None else "a second face"
