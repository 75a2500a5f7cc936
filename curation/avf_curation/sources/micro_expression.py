"""What the micro-expression corpora share: folders of pictures, cut from onset to offset, an emotion each, no sound."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.schema.labels import Labels

from avf_curation.media.image_files import list_images
from avf_curation.sources.listing import Listing
from avf_curation.sources.spreadsheet import parse_integer, read_rows
from avf_curation.sources.types import Video


def read_coding_table(listing: Listing, names: tuple[str, ...]) -> Path:
    """The first of the owners' tables that is there, or the same as .csv. Raises UserError naming them."""
    for name in names:
        for one in (name, f"{name.rpartition('.')[0]}.csv"):
            if (listing.root / one).is_file():
                return listing.root / one
    raise UserError(f"--source {listing.source}={listing.root}: none of {', '.join(names)} is there")


@dataclass(frozen=True, kw_only=True)
class CodedSample:
    """A row of a coding table. offset: None where the table has none that can be: the folder's last picture."""

    subject: int
    take: str
    onset: int
    offset: int | None
    emotion: str
    more: Mapping[str, str]


def coded_samples(
    listing: Listing, table: Path, onset: str, offset: str, corrected: Mapping[int, int]
) -> Iterator[CodedSample]:
    """The rows of a coding table; those that cannot be read are noted.

    onset, offset: names of the columns. corrected: row below the head, from 0 on -> the offset that it must have, for
    those that the owners' table is known to have before the onset.
    """
    needed = ("subject", "filename", onset, offset, "estimated emotion")
    rows = read_rows(table, needed, f"--source {listing.source}={listing.root}")
    for place, (number, row) in enumerate(rows):
        where = f"{table.name}: row {number}"
        subject, first, last = parse_integer(row["subject"]), parse_integer(row[onset]), parse_integer(row[offset])
        if subject is None or first is None or last is None:
            listing.note("bad_row", where, "subject, onset or offset is no number")
            continue
        if last < first:
            last = corrected.get(place)
            if last is None:
                listing.note("bad_row", where, f"offset {row[offset]} before onset {first}: taken to the last picture")
        more = {"action_units": row.get("action units", "")}
        yield CodedSample(
            subject=subject,
            take=row["filename"],
            onset=first,
            offset=last,
            emotion=row["estimated emotion"].lower(),
            more=more,
        )


@dataclass(frozen=True, kw_only=True)
class LabelledSequence:
    """A folder of numbered pictures that shows one expression, and what the corpus says of it."""

    folder: str  # relative to the root of the source
    video_id: str
    subject: str
    emotion: str
    pictures_per_s: int
    onset: int | None = None  # number of the first picture; None: the first that is there
    offset: int | None = None  # number of the last picture; None: the last that is there
    more: Mapping[str, str] = field(default_factory=dict)  # further labels: name -> value


def image_sequence_input(listing: Listing, sequence: LabelledSequence) -> Video | None:
    """Return a sequence as an input, from its onset to its offset; None and a note where its pictures are not there."""
    folder, onset, offset = sequence.folder, sequence.onset, sequence.offset
    try:
        found = list_images(listing.root / folder)
    except OSError:
        listing.note("missing", folder, "no such folder of pictures")
        return None
    if not found.names:
        listing.note("missing", folder, "a folder without numbered pictures")
        return None
    first = found.numbers[0] if onset is None else onset
    last = found.numbers[-1] if offset is None else offset
    within = found.time_range_s(first, last)
    if within is None or (onset is not None and first >= last):
        ends = f"{found.numbers[0]} to {found.numbers[-1]}"
        listing.note("bad_row", folder, f"onset {first} to offset {last}, but its pictures are {ends}")
        return None
    start_s, stop_s = within
    values = {"emotion": sequence.emotion, "pictures_per_s": str(sequence.pictures_per_s), **sequence.more}
    return Video(
        source=listing.source,
        video_id=sequence.video_id,
        group_id=sequence.subject,
        path=folder,
        size_bytes=found.size_bytes,
        mtime_ns=found.mtime_ns,
        start_s=start_s,
        stop_s=stop_s,
        speaker=sequence.subject,
        labels=Labels(values=values, subject=sequence.subject),
    )
