"""Which objects of a store can be files of a mirror: keys are any text, chosen by whoever may write to the bucket.

A key that leads out of the mirror, or that no file can have, is refused and never written.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from avf_shards.errors import UserError
from avf_shards.stores.object_store import StoredObject
from avf_shards.stores.stored_folder import COMMITTED, PARTS
from avf_shards.system.temporary_folder import MARKER

_PART_KEY = re.compile(rf"(?:.*/)?{PARTS}/[0-9a-f]{{64}}", re.DOTALL)
_MEMORY_NAME = re.compile(r"\..*\.mirror")  # of the folder beside a mirror, which says what lies in it
_MAX_NAME_BYTES = 255
_MAX_KEY_BYTES = 3_000  # with the folder of the mirror, below the 4,096 of Linux
_MAX_COMMITTED_BYTES = 64_000_000  # small files of a folder; of a unit they are below one million


def is_commit(key: str) -> bool:
    """Return whether an object commits a folder."""
    return key == COMMITTED or key.endswith(f"/{COMMITTED}")


def is_part(key: str) -> bool:
    """Return whether an object is a content of a folder that is committed, or was to be."""
    return _PART_KEY.fullmatch(key) is not None


def folder_of(commit: str) -> str:
    """Return the key of the folder that an object commits; empty for the address itself."""
    return commit.removesuffix(COMMITTED).removesuffix("/")


def select_files(items: Iterable[StoredObject], address: str) -> list[StoredObject]:
    """Return the objects that are files or committed folders here, in the order in which they are listed.

    Left out are contents of committed folders, which these name; what somebody else put into a committed folder; and
    the empty objects by which consoles and other programs show folders: `a/`, or `a` beside `a/b`.

    Raises UserError for keys that no file in a mirror can have.
    """
    listed = [item for item in items if not item.key.endswith("/") and not is_part(item.key)]
    folders = {folder for item in listed for folder in _folders_of(item.key)}
    committed = {folder_of(item.key) for item in listed if is_commit(item.key)}
    files, refusals = [], []
    for item in listed:
        owners = [folder for folder in _folders_of(item.key) if folder in committed]
        is_own_commit = is_commit(item.key) and owners == [folder_of(item.key)]
        is_marker = item.key in folders and not item.size_bytes
        if not item.key or is_marker or (owners and not is_own_commit):
            continue
        problem = "a folder has this name too" if item.key in folders else _problem(item)
        if problem:
            refusals.append(f"{item.key[:200]!r} ({problem})")
        files.append(item)
    if refusals:
        others = f", and {len(refusals) - 1:,} more" if len(refusals) > 1 else ""
        raise UserError(
            f"{address}: the key of an object there can be no file's name: {refusals[0]}{others}; rename it in the "
            "store, or name a folder without it"
        )
    return files


def _folders_of(key: str) -> Iterator[str]:
    """Yield the keys of the folders that an object lies in, first that of the address, which is empty."""
    yield ""
    end = key.find("/")
    while end >= 0:
        yield key[:end]
        end = key.find("/", end + 1)


def _problem(item: StoredObject) -> str:
    """Return why an object cannot be a file below a folder; empty for one that can."""
    names = item.key.split("/")
    try:
        lengths = [len(name.encode()) for name in names]
    except UnicodeEncodeError:
        return "not UTF-8"
    if any(name in ("", ".", "..") for name in names) or PurePosixPath(item.key).is_absolute():
        return "it leads out of its folder, or has an empty name in it"
    if "\0" in item.key:
        return "it has a NUL"
    if max(lengths) > _MAX_NAME_BYTES or sum(lengths) + len(names) > _MAX_KEY_BYTES:
        return f"longer than {_MAX_NAME_BYTES} bytes in a name, or {_MAX_KEY_BYTES} as a whole"
    if any(name == MARKER or _MEMORY_NAME.fullmatch(name) for name in names):
        return "this program keeps notes of its own under such names"
    if is_commit(item.key) and item.size_bytes > _MAX_COMMITTED_BYTES:
        return f"{item.size_bytes} bytes, and a {COMMITTED} has fewer than {_MAX_COMMITTED_BYTES}"
    return ""
