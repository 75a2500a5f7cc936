"""Pictures that are sorted by person: a folder for each, or packed as MXNet writes them."""

from collections.abc import Iterator

from avf_shards.errors import UserError
from avf_shards.system.storage_faults import raise_machine_fault

from avf_curation.sources.listing import Listing
from avf_curation.sources.pictures.mxnet_records import RecordError, RecordFile, read_index
from avf_curation.sources.pictures.types import Picture
from avf_curation.sources.types import RecordPosition

_PICTURE = r"(?i)(?!\.).+\.(jpg|jpeg|png|bmp)"
_RECORDS, _INDEX = "train.rec", "train.idx"


def list_identities(listing: Listing, folders: tuple[str, ...], pattern: str, expected: str) -> Iterator[Picture]:
    """Yield every picture of every person, or of train.rec where the source has that file.

    Args:
        folders: below the source's root, of which the first that holds pictures or train.rec is read.
        pattern: regular expression of a person's folder.
        expected: what such a folder is, for the reason of one that does not match.

    Raises:
        UserError: neither is there.
    """
    for folder in folders:
        prefix = f"{folder}/" if folder else ""
        if listing.has_file(f"{prefix}{_RECORDS}"):
            yield from _list_records(listing, prefix)
            return
    for folder in folders:
        if (not folder or listing.has_folder(folder)) and _has_identity(listing, folder, pattern):
            for person in listing.list_entries(folder, pattern, expected):
                if not person.is_folder:
                    listing.skip("unexpected", person.path, "is no folder of a person")
                    continue
                count = 0
                for file in listing.list_entries(person.path, _PICTURE, "picture"):
                    count += 1
                    yield Picture(
                        picture_id=f"{person.name}/{file.name}",
                        **file.stat_fields,
                        identity=person.name,
                    )
                if not count:
                    listing.skip("missing", person.path, "a person without pictures")
            return
    raise UserError(
        f"--source {listing.source}={listing.root}: there is neither a {expected} nor a {_RECORDS} in it; "
        "`avf-curate sources ls` shows the owners' layout"
    )


def _has_identity(listing: Listing, folder: str, pattern: str) -> bool:
    silent = Listing(listing.source, listing.root, [], follow_symlinks=True)
    return any(entry.is_folder for entry in silent.list_entries(folder, pattern, ""))


def _list_records(listing: Listing, prefix: str) -> Iterator[Picture]:
    """Yield the pictures that the index names. Records that hold no picture, as those of persons, are left out."""
    records, index = f"{prefix}{_RECORDS}", f"{prefix}{_INDEX}"
    if not listing.has_file(index):
        raise UserError(
            f"--source {listing.source}={listing.root}: {records} has no {_INDEX} beside it, which says where each "
            "record begins; put it there"
        )
    try:
        with RecordFile(listing.locate(records)) as file:
            seen: set[int] = set()
            for number, key, position in read_index(listing.locate(index)):
                where = f"{index}:{number}"
                if key is None or position is None:
                    listing.skip("bad_row", where, "is not the key and the position of a record")
                elif key in seen:
                    listing.skip("duplicate", where, f"record {key} was listed before")
                else:
                    seen.add(key)
                    picture = _read_record(listing, file, records, where, (key, position))
                    if picture is not None:
                        yield picture
    except OSError as error:
        raise_machine_fault(error)
        listing.skip_unreadable(records, error)


def _read_record(listing: Listing, file: RecordFile, path: str, where: str, entry: tuple[int, int]) -> Picture | None:
    key, position = entry
    try:
        head = file.read_head(position)
    except RecordError as error:
        listing.skip("bad_row", where, f"record {key}: {error}")
        return None
    if not head.size_bytes:  # record 0 and the records of persons say which keys belong together
        return None
    label = head.labels[0]
    if not head.is_picture or not label.is_integer() or label < 0:
        reason = f"its label {label:g} is no person's number" if head.is_picture else "holds neither a JPEG nor a PNG"
        listing.skip("bad_row", where, f"record {key}: {reason}")
        return None
    return Picture(
        picture_id=str(key),
        path=path,
        size_bytes=head.size_bytes,
        mtime_ns=file.mtime_ns,
        packed=RecordPosition(key=key, position=position, file_bytes=file.size_bytes),
        identity=str(int(label)),
    )
