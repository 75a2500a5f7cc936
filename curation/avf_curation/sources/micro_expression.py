"""Shared parts of the micro-expression corpora: silent folders of images, from an emotion's onset to its offset."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from avf_shards.errors import UserError
from avf_shards.schema.labels import Labels
from avf_shards.system.storage_faults import raise_machine_fault

from avf_curation.media.image_files import list_images
from avf_curation.sources.listing import Listing
from avf_curation.sources.spreadsheet import parse_integer, read_rows
from avf_curation.sources.types import Video


def find_coding_table(listing: Listing, names: tuple[str, ...]) -> Path:
    """Return the path of the first of the tables `names` that the source has, as .xlsx or saved as .csv.

    Raises:
        UserError: the source has none of them.
    """
    for name in names:
        for file in (name, f"{name.rpartition('.')[0]}.csv"):
            if listing.has_file(file):
                return listing.locate(file)
    raise UserError(f"--source {listing.source}={listing.root}: none of the tables {', '.join(names)} is in it")


@dataclass(frozen=True, kw_only=True)
class CodedSample:
    """A row of a coding table."""

    subject: int  # number of the person
    take: str  # the folder of the sample below its subject
    onset: int  # number of the first image
    offset: int | None  # number of the last image; None: the folder's last, as the table's lies before the onset
    emotion: str  # in lower case
    other_labels: Mapping[str, str]  # name -> value


def read_coded_samples(
    listing: Listing, table: Path, onset: str, offset: str, corrected_offsets: Mapping[int, int]
) -> Iterator[CodedSample]:
    """Yield the rows of a coding table; note the rows that cannot be read.

    Args:
        onset: name of the column with the first image.
        offset: name of the column with the last image.
        corrected_offsets: row below the header, from 0 on -> offset, for the rows whose offset lies before the onset
            in the owners' table.
    """
    needed = ("subject", "filename", onset, offset, "estimated emotion")
    rows = read_rows(table, needed, f"--source {listing.source}={listing.root}")
    for index, (number, row) in enumerate(rows):
        where = f"{table.name}: row {number}"
        subject, first, last = parse_integer(row["subject"]), parse_integer(row[onset]), parse_integer(row[offset])
        if subject is None or first is None or last is None:
            listing.skip("bad_row", where, "subject, onset or offset is no number")
            continue
        if last < first:
            last = corrected_offsets.get(index)
            if last is None:
                reason = f"offset {row[offset]} lies before onset {first}: the folder's last image is used"
                listing.skip("bad_row", where, reason)
        yield CodedSample(
            subject=subject,
            take=row["filename"],
            onset=first,
            offset=last,
            emotion=row["estimated emotion"].lower(),
            other_labels={"action_units": row.get("action units", "")},
        )


@dataclass(frozen=True, kw_only=True)
class ImageSequence:
    """A folder of numbered images that is one micro-expression."""

    folder: str  # below the source's root
    video_id: str  # unique inside the source
    subject: str  # id of the person
    emotion: str  # label
    images_per_s: int | None  # of the camera; None: it differs from clip to clip, and is not published
    onset: int | None = None  # number of the first image; None: the folder's first
    offset: int | None = None  # number of the last image; None: the folder's last
    other_labels: Mapping[str, str] = field(default_factory=dict)  # name -> value


def image_sequence_input(listing: Listing, sequence: ImageSequence) -> Video | None:
    """Return the images from onset to offset as an input, or note why the folder lacks them and return None."""
    path = PurePosixPath(sequence.folder)
    if path.is_absolute() or ".." in path.parts or "\0" in sequence.folder:  # the names come from the owners' table
        listing.skip("bad_row", sequence.folder, "the table names a folder outside the corpus")
        return None
    if listing.skips_link(sequence.folder):
        return None
    try:
        images = list_images(listing.root / sequence.folder)
    except OSError as error:
        raise_machine_fault(error)
        listing.skip("missing", sequence.folder, "no such folder of images")
        return None
    if not images.names:
        listing.skip("missing", sequence.folder, "a folder without numbered images")
        return None
    if any(listing.skips_link(f"{sequence.folder}/{name}") for name in images.names):
        return None
    first = images.numbers[0] if sequence.onset is None else sequence.onset
    last = images.numbers[-1] if sequence.offset is None else sequence.offset
    range_s = images.time_range_s(first, last)
    if range_s is None or (sequence.onset is not None and first >= last):
        numbers = f"{images.numbers[0]} to {images.numbers[-1]}"
        listing.skip("bad_row", sequence.folder, f"onset {first} to offset {last}, but its images are {numbers}")
        return None
    rate = {} if sequence.images_per_s is None else {"pictures_per_s": str(sequence.images_per_s)}
    values = {"emotion": sequence.emotion, **rate, **sequence.other_labels}
    return Video(
        source=listing.source,
        video_id=sequence.video_id,
        group_id=sequence.subject,
        path=sequence.folder,
        size_bytes=images.size_bytes,
        mtime_ns=images.mtime_ns,
        start_s=range_s[0],
        stop_s=range_s[1],
        speaker=sequence.subject,
        labels=Labels(values=values, subject=sequence.subject),
    )


def coded_sample_input(
    listing: Listing, sample: CodedSample, *, folder: str, video_id: str, subject: str, images_per_s: int
) -> Video | None:
    """Return the images that a row of a coding table names as an input, or None as `image_sequence_input` does."""
    sequence = ImageSequence(
        folder=folder,
        video_id=video_id,
        subject=subject,
        emotion=sample.emotion,
        images_per_s=images_per_s,
        onset=sample.onset,
        offset=sample.offset,
        other_labels=sample.other_labels,
    )
    return image_sequence_input(listing, sequence)
