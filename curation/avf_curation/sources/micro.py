"""What the micro-expression corpora share: folders of pictures, cut from onset to offset, an emotion each, no sound."""

from collections.abc import Mapping
from pathlib import Path

from avf_shards.errors import UserError

from avf_curation.inputs import Labels, Video
from avf_curation.sources.listing import Listing
from avf_curation.sources.pictures import pictures_in


def table_of(listing: Listing, names: tuple[str, ...]) -> Path:
    """The first of the owners' tables that is there, or the same as .csv. Raises UserError naming them."""
    for name in names:
        for one in (name, f"{name.rpartition('.')[0]}.csv"):
            if (listing.root / one).is_file():
                return listing.root / one
    raise UserError(f"--source {listing.source}={listing.root}: none of {', '.join(names)} is there")


def sequence(
    listing: Listing,
    folder: str,
    video: str,
    subject: str,
    emotion: str,
    pictures_per_s: int,
    onset: int | None = None,
    offset: int | None = None,
    more: Mapping[str, str] | None = None,
) -> Video | None:
    """A folder of pictures from the number `onset` to `offset` (None: its ends); None and a note where it is not so."""
    try:
        found = pictures_in(listing.root / folder)
    except OSError:
        listing.note("missing", folder, "no such folder of pictures")
        return None
    if not found.names:
        listing.note("missing", folder, "a folder without numbered pictures")
        return None
    first = found.numbers[0] if onset is None else onset
    last = found.numbers[-1] if offset is None else offset
    within = found.range_of(first, last)
    if within is None or (onset is not None and first >= last):
        ends = f"{found.numbers[0]} to {found.numbers[-1]}"
        listing.note("bad_row", folder, f"onset {first} to offset {last}, but its pictures are {ends}")
        return None
    start_s, stop_s = within
    values = {"emotion": emotion, "pictures_per_s": str(pictures_per_s), **(more or {})}
    return Video(
        source=listing.source,
        video=video,
        parent=subject,
        path=folder,
        size_bytes=found.size_bytes,
        mtime_ns=found.mtime_ns,
        start_s=start_s,
        stop_s=stop_s,
        speaker=subject,
        labels=Labels(values, subject),
    )
