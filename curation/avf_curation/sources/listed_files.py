"""Files that a table of a corpus names: each is looked up, and what cannot be an input is noted with its row."""

import os
from pathlib import PurePosixPath

from avf_shards.system.storage_faults import raise_machine_fault

from avf_curation.sources.listing import ListedFile, Listing


def is_inner_path(path: str) -> bool:
    """Return whether a path of a table stays below the corpus: relative, without `..`."""
    parts = PurePosixPath(path)
    return bool(path) and not parts.is_absolute() and ".." not in parts.parts and "\0" not in path


def find_listed(listing: Listing, path: str, where: str) -> ListedFile | None:
    """Return a file that a table names, or note at `where` why there is none, and return None.

    Args:
        path: below the source's root.
        where: table and row, as the note has it.
    """
    if not is_inner_path(path):
        listing.skip("bad_row", where, f"names a file outside the corpus: {path[:200]!r}")
        return None
    if listing.skips_link(path):
        return None
    try:
        status = os.stat(listing.root / path)
    except OSError as error:
        raise_machine_fault(error)
        listing.skip("missing", where, f"no such file: {path[:400]}")
        return None
    if not (listing.root / path).is_file():
        listing.skip("missing", where, f"is no file: {path[:400]}")
        return None
    name = PurePosixPath(path).name
    return ListedFile(name=name, path=path, is_folder=False, size_bytes=status.st_size, mtime_ns=status.st_mtime_ns)
