"""DFME: train_data/train_data/sub0003_01/00001.png, a table of onset, apex, offset and emotion for each part."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from avf_shards.errors import UserError

from avf_curation.sources.listing import Listing
from avf_curation.sources.micro_expression import ImageSequence, image_sequence_input
from avf_curation.sources.spreadsheet import parse_integer, read_rows
from avf_curation.sources.types import Video

NAME = "dfme"
ABOUT = (
    "DFME: micro-expressions of seven emotions as folders of images, 200 to 500 per second, with a table for the "
    "training part and for each of two test parts; without sound."
)
LABELLED = True
OWNERS_COUNT = 7_526
LAYOUT = (
    "train_data/train_data/sub0003_01/00001.png, test_data_A/..., test_data_B/..., "
    "full_release_annotation/{training,testA,testB}_full_with_AU.xlsx"
)
_COLUMNS = ("subject", "filename", "onset", "offset", "emotion")
_TABLE_FOLDERS = ("full_release_annotation/", "full_release_annotation/full_release_annotation/", "")
_SUBJECT = re.compile(r"sub\d+", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A part of the owners' split."""

    split: str  # as the record names it
    table: str  # name of its table without the ending
    folder: str  # of its images; archives hold a second folder of this name inside


_PARTS = (
    _Part(split="training", table="training_full_with_AU", folder="train_data"),
    _Part(split="test_a", table="testA_full_with_AU", folder="test_data_A"),
    _Part(split="test_b", table="testB_full_with_AU", folder="test_data_B"),
)


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield every row of the tables that has images, with its part as the label `split`.

    Raises:
        UserError: there is no table of any part.
    """
    tables = {part.split: _find_table(listing, part) for part in _PARTS}
    if not any(tables.values()):
        names = ", ".join(f"{part.table}.xlsx" for part in _PARTS)
        raise UserError(f"--source {NAME}={listing.root}: none of the tables {names} is in it")
    for part in _PARTS:
        table = tables[part.split]
        if table is None:
            listing.skip("missing", f"{_TABLE_FOLDERS[0]}{part.table}.xlsx", f"no table of the part {part.split}")
        else:
            yield from _list_part(listing, part, table)


def _find_table(listing: Listing, part: _Part) -> str | None:
    """Return the path of a part's table below the source's root, or None."""
    paths = (f"{folder}{part.table}{ending}" for folder in _TABLE_FOLDERS for ending in (".xlsx", ".csv"))
    return next((path for path in paths if listing.has_file(path)), None)


def _list_part(listing: Listing, part: _Part, table: str) -> Iterator[Video]:
    folders = (f"{part.folder}/{part.folder}", part.folder)
    base = next((folder for folder in folders if listing.has_folder(folder)), part.folder)
    listed: dict[str, int] = {}
    for number, row in read_rows(listing.locate(table), _COLUMNS, f"--source {NAME}={listing.root}"):
        where, take = f"{table}: row {number}", row["filename"]
        onset, offset = parse_integer(row["onset"]), parse_integer(row["offset"])
        if onset is None or offset is None:
            listing.skip("bad_row", where, "onset or offset is no number")
            continue
        # A take is named after its person; the column has the number alone in some copies.
        person = _SUBJECT.match(take)
        subject = person[0].lower() if person else row["subject"]
        if not (take and subject and row["emotion"]):
            listing.skip("bad_row", where, "the file name, the subject or the emotion is empty")
            continue
        if take in listed:
            listing.skip("duplicate", where, f"{take} is in row {listed[take]} too")
            continue
        listed[take] = number
        if offset <= onset:
            reason = f"offset {row['offset']} does not lie behind onset {onset}: the folder's last image is used"
            listing.skip("bad_row", where, reason)
        sequence = ImageSequence(
            folder=f"{base}/{take}",
            video_id=f"{part.split}/{take}",
            subject=subject,
            emotion="_".join(row["emotion"].lower().split()),
            images_per_s=None,
            onset=onset,
            offset=offset if offset > onset else None,
            other_labels={"split": part.split, "action_units": row.get("aus", row.get("au", ""))},
        )
        video = image_sequence_input(listing, sequence)
        if video is not None:
            yield video
