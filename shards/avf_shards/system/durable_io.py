"""Every file operation that the contents of a run, a shard folder or a checkpoint depend on.

The protocol built from these calls needs no lock, no mmap and no rename over an existing name, so it holds on NFS:
a folder or file is made under a temporary name, fsynced, and published in one step that fails when the name is taken.

A path in a mirror of an object store is published there first, by a conditional write (`stores/mirror.py`, ADR 30).

Tests observe the operations through `watch` and die after each in turn, and once in the middle of each write (ADR 22).
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from avf_shards.system.mirror_registry import mirror_of
from avf_shards.system.storage_faults import name_path, open_plain

Watcher = Callable[[str, Path], None]
_watcher: Watcher | None = None

_TAKEN = (errno.EEXIST, errno.ENOTEMPTY)
# File systems without hard links (some FUSE mounts) answer link() with one of these.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)


class AlreadyExistsError(Exception):
    """The name to publish under exists already: another process published first."""


@contextmanager
def watch(watcher: Watcher) -> Iterator[None]:
    """Call `watcher(operation, path)` after every operation, and once in the middle of each write, while inside."""
    global _watcher
    before, _watcher = _watcher, watcher
    try:
        yield
    finally:
        _watcher = before


def notify(operation: str, path: Path) -> None:
    """Tell the watcher, if there is one, that an operation has been done."""
    if _watcher is not None:
        _watcher(operation, path)


class Writer:
    """A new file that is written from start to end and fsynced when closed. Raises FileExistsError for a taken name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO = open(path, "xb")  # noqa: SIM115  closed in close()
        notify("create", path)

    def write(self, data: bytes | memoryview) -> int:
        with name_path(self.path):
            if _watcher is not None:
                half = len(data) // 2
                self._file.write(data[:half])
                self._file.flush()
                notify("half a write", self.path)
                self._file.write(data[half:])
                self._file.flush()
                notify("write", self.path)
            else:
                self._file.write(data)
        return len(data)

    def close(self) -> None:
        if self._file.closed:
            return
        with name_path(self.path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        notify("fsync", self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()


def write(path: Path, data: bytes) -> None:
    """Create the file `path` with `data`, fsynced. Raises FileExistsError when the name is taken."""
    with Writer(path) as file:
        file.write(data)


def make_folder(path: Path) -> None:
    """Create the folder `path` and its parents where they do not exist."""
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        notify("mkdir", path)


def make_new_folder(path: Path) -> None:
    """Create the folder `path`, whose parent exists, after removing what a dead process left under that name."""
    remove(path)
    path.mkdir()
    notify("mkdir", path)


def sync_folder(path: Path) -> None:
    """Make the names of the files in a folder durable."""
    _sync(path)


def sync_file(path: Path) -> None:
    """Make the content of a file durable that another library has written."""
    _sync(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        with name_path(path):
            os.fsync(handle)
    finally:
        os.close(handle)
    notify("fsync", path)


def publish_folder(temporary: Path, final: Path) -> None:
    """Give the finished, non-empty folder its final name, durably.

    Raises AlreadyExistsError when `final` exists: renaming onto a folder that holds files fails on POSIX systems.
    """
    sync_folder(temporary)
    if (mirror := mirror_of(final)) is not None:
        mirror.publish_folder(temporary, final)
        return
    try:
        os.rename(temporary, final)
    except OSError as error:
        if error.errno in _TAKEN:
            raise AlreadyExistsError(str(final)) from error
        raise
    notify("rename", final)
    sync_folder(final.parent)


def publish_file(temporary: Path, final: Path) -> None:
    """Give the finished, fsynced file its final name, durably. Raises AlreadyExistsError when `final` exists."""
    if (mirror := mirror_of(final)) is not None:
        mirror.publish_file(temporary, final)
        return
    try:
        os.link(temporary, final)
    except FileExistsError as error:
        raise AlreadyExistsError(str(final)) from error
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if final.exists():
            raise AlreadyExistsError(str(final)) from error
        os.rename(temporary, final)
        notify("rename", final)
    else:
        notify("link", final)
        os.unlink(temporary)
        notify("unlink", temporary)
    sync_folder(final.parent)


def replace_file(path: Path, data: bytes) -> None:
    """Replace a file's content atomically and durably.

    Use this only for derived files: a concurrent reader may see the old or the new content.
    """
    temporary = path.with_name(f".{path.name}")
    remove(temporary)
    write(temporary, data)
    replace_by(temporary, path)


def replace_by(temporary: Path, final: Path) -> None:
    """Replace the file `final` atomically and durably by a finished, fsynced one, which loses its own name."""
    if (mirror := mirror_of(final)) is not None:
        mirror.replace_file(temporary, final)
        return
    os.replace(temporary, final)
    notify("replace", final)
    sync_folder(final.parent)


def overwrite_with_zeros(path: Path, offset: int, size: int) -> None:
    """Overwrite a part of a file with zeros, durably: what was there is to be deleted."""
    with name_path(path), open(path, "r+b", opener=open_plain) as file:
        file.seek(offset)
        file.write(bytes(size))
        file.flush()
        os.fsync(file.fileno())
    notify("overwrite", path)
    if (mirror := mirror_of(path)) is not None:
        mirror.note_overwritten(path)


def remove(path: Path) -> None:
    """Remove a file, or a folder with everything in it. A path that does not exist is ignored."""
    if (mirror := mirror_of(path)) is not None:
        mirror.remove(path)
    remove_here(path)


def remove_here(path: Path) -> None:
    """Remove as `remove` does, but leave what the store of a mirror holds."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except FileNotFoundError:
        return
    notify("remove", path)
