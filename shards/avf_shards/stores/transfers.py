"""Whole files to and from a store: large ones in ranges or from the disk, and of one version each."""

import errno
import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from avf_shards.stores.addresses import MIRRORS, mirrors_folder
from avf_shards.stores.object_store import ObjectStore, StoredObject
from avf_shards.system.named_writes import append_bytes, write_bytes
from avf_shards.system.storage_faults import open_plain, read_bytes

P = ParamSpec("P")
T = TypeVar("T")
_RANGE_BYTES = 16_000_000  # of one request for a part of a large object
_LARGEST_WRITE_BYTES = 8_000_000  # a larger file is sent from the disk
_TRIES_TO_DOWNLOAD = 4


def naming_full_disks(method: Callable[P, T]) -> Callable[P, T]:
    """Let the error of a disk that has no room for a mirror say so, and how another disk is named."""

    @wraps(method)
    def work(*words: P.args, **named: P.kwargs) -> T:
        try:
            return method(*words, **named)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            remedy = f"mirrors of stores need room here; make some, or set {MIRRORS} to a folder of a larger disk"
            raise OSError(error.errno, f"{os.strerror(error.errno)}; {remedy}", str(mirrors_folder())) from error

    return work


def version_of(item: StoredObject) -> str:
    """Return a text that differs for two versions of an object."""
    return f"{item.version or item.modified_ns} {item.size_bytes}"


def create_from(store: ObjectStore, key: str, path: Path) -> bool:
    """Create an object with the content of a file; return as `ObjectStore.create`."""
    if path.stat().st_size <= _LARGEST_WRITE_BYTES:
        return store.create(key, read_bytes(path))
    return store.create_from_file(key, path)


def write_from(store: ObjectStore, key: str, path: Path) -> None:
    """Write an object with the content of a file, over an earlier one."""
    if path.stat().st_size <= _LARGEST_WRITE_BYTES:
        store.write(key, read_bytes(path))
    else:
        store.write_from_file(key, path)


def has_content(store: ObjectStore, key: str, path: Path) -> bool:
    """Return whether an object has the content of a file: the answer to an earlier try may have been lost."""
    item = store.look_up(key)
    if item is None or item.size_bytes != path.stat().st_size:
        return False
    with open(path, "rb", opener=open_plain) as file:
        for start in range(0, item.size_bytes, _RANGE_BYTES):
            stop = min(start + _RANGE_BYTES, item.size_bytes)
            if store.read_range(key, start, stop) != file.read(stop - start):
                return False
    return True


def download(store: ObjectStore, key: str, path: Path) -> None:
    """Write an object of one version to a file, with its time. Raises OSError where it changes all the time.

    The time is of now: who compares it with a plan is to see another one.
    """
    address = f"{store.address}/{key}" if key else store.address
    for _ in range(_TRIES_TO_DOWNLOAD):
        item = store.look_up(key)
        if item is None:
            raise FileNotFoundError(errno.ENOENT, "is not in the store any more", address)
        download_content(store, key, item.size_bytes, path)
        after = store.look_up(key)  # of an object that is written over meanwhile, the ranges are of two
        if after is not None and version_of(after) == version_of(item):
            os.utime(path, ns=(item.modified_ns, item.modified_ns))
            return
    raise OSError(errno.EIO, f"was written over in the store during each of {_TRIES_TO_DOWNLOAD} reads", address)


def download_listed(store: ObjectStore, item: StoredObject, path: Path) -> None:
    """Write an object to a file, with the time of the listing. Raises FileNotFoundError where it is gone."""
    if item.size_bytes > _RANGE_BYTES:
        download(store, item.key, path)
        return
    data = store.read(item.key)
    if data is None:
        raise FileNotFoundError(item.key)
    write_bytes(path, data)
    os.utime(path, ns=(item.modified_ns, item.modified_ns))


def download_content(store: ObjectStore, key: str, size_bytes: int, path: Path) -> None:
    """Write the bytes of an object to a file, a range at a time."""
    path.unlink(missing_ok=True)
    with append_bytes(path) as file:
        for start in range(0, size_bytes, _RANGE_BYTES):
            file.write(store.read_range(key, start, min(start + _RANGE_BYTES, size_bytes)))
