"""IMDB-WIKI: imdb_crop/00/nm0000100.jpg and imdb.mat, wiki_crop/ and wiki.mat; one part or both."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from avf_shards.errors import UserError

from avf_curation.sources.listing import ListedFile, Listing
from avf_curation.sources.pictures.mat_process import read_mat
from avf_curation.sources.pictures.types import Picture
from avf_curation.sources.table_process import TableError
from avf_curation.sources.types import OwnersFaces

NAME = "imdb_wiki"
ABOUT = (
    "IMDB-WIKI: cropped face pictures of IMDb and Wikipedia, with what the owners' detector saw: a run rejects those "
    "without a face, or with a second one. Used without labels."
)
LABELLED = False
OWNERS_COUNT = 523_051
LAYOUT = "imdb_crop/00/nm0000100_rm46373120_1955-1-6_2003.jpg with imdb.mat, wiki_crop/ with wiki.mat"
_PARTS = ("imdb", "wiki")
_PICTURE = r"(?i)(?!\.).+\.(jpg|jpeg|png)"


def list_pictures(listing: Listing) -> Iterator[Picture]:
    """Yield every picture. Raises UserError where neither part is there, or a table cannot be read."""
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
            if name in listed:
                listing.skip("duplicate", where, f"{name} was listed before")
            elif name not in files:
                listing.skip("missing", where, f"no picture {name[:120]!r} in {part}_crop/")
            else:
                file = files[name]
                if row["score"] is not None and row["box"] is None:
                    listing.skip("bad_row", where, "its face is no part of a picture: every face that is seen counts")
                yield Picture(
                    picture_id=f"{part}/{name}",
                    **file.stat_fields,
                    box_px=None if row["box"] is None or row["score"] is None else tuple(row["box"]),
                    owners_faces=OwnersFaces(score=row["score"], second_score=row["second"]),
                )
            listed.add(name)
    except TableError as error:
        raise UserError(
            f"--source {listing.source}={listing.root}: {table} cannot be read ({error}); is it the owners' table?"
        ) from None
    for name in sorted(files.keys() - listed):
        listing.skip("unlisted", files[name].path, f"{table} has no such entry")
