"""A local folder of byte ranges read from afar: never more bytes than its limit, the least recently used go first.

Any number of processes of one machine share it. It is for a local disk: the count of its bytes is kept under flock.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from avf_shards.errors import UserError

_ROOM = 0.9  # share of the limit that is left after making room, so that it is not made for every range


class RangeCache:
    """Keeps ranges by name. A range larger than the limit, or one that the disk has no room for, is not kept."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        if limit_bytes < 1:
            raise UserError(f"cache_bytes {limit_bytes} must be at least 1")
        self.folder, self.limit_bytes = folder, limit_bytes
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cache {folder}: {error.strerror}; name a folder that can be made and written") from None

    def get(self, name: str) -> bytes | None:
        """The range kept under `name`, now the most recently used; None when it is not kept."""
        path = self._path(name)
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:  # not kept, or making room took it just now
            return None
        return data

    def put(self, name: str, data: bytes) -> None:
        """Keep a range; room is made first."""
        path = self._path(name)
        if len(data) > self.limit_bytes * _ROOM or path.exists():
            return
        temporary = path.with_suffix(f".{os.getpid()}")
        try:
            with self._used_bytes() as used:
                used.change(len(data))
                path.parent.mkdir(exist_ok=True)
                temporary.write_bytes(data)
                temporary.rename(path)
        except OSError:  # a full disk: the stream goes on without keeping this one
            with suppress(OSError):
                temporary.unlink()

    def drop(self, name: str) -> None:
        """Forget a range that turned out to be damaged."""
        with suppress(OSError):
            self._path(name).unlink()

    def _path(self, name: str) -> Path:
        digest = hashlib.sha256(name.encode()).hexdigest()
        return self.folder / digest[:2] / digest[2:]

    @contextmanager
    def _used_bytes(self) -> Iterator["_Used"]:
        """The count of all kept bytes, held by this process alone. Killed here, it is too high, never too low."""
        handle = os.open(self.folder / "bytes", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield _Used(self, handle)
        finally:
            os.close(handle)

    def kept(self) -> list[tuple[float, int, Path]]:
        """(last use, bytes, path) of every range, least recently used first."""
        found = []
        for entry in self._files():
            with suppress(OSError):
                stat = entry.stat()
                if "." not in entry.name:
                    found.append((stat.st_mtime, stat.st_size, Path(entry.path)))
        return sorted(found)

    def half_written(self) -> list[Path]:
        """What a process wrote, and died; to be asked while the count is held, when nobody writes."""
        return [Path(entry.path) for entry in self._files() if "." in entry.name]

    def _files(self) -> Iterator["os.DirEntry[str]"]:
        for folder in self.folder.glob("??"):
            yield from os.scandir(folder)


class _Used:
    def __init__(self, cache: RangeCache, handle: int) -> None:
        self.cache, self.handle = cache, handle

    def change(self, more: int) -> None:
        """Count `more` bytes, after throwing out what would be over the limit."""
        text = os.pread(self.handle, 32, 0)
        used = int(text) if text.isdigit() else sum(size for _, size, _ in self.cache.kept())
        if used + more > self.cache.limit_bytes:
            used = self._make_room(int(self.cache.limit_bytes * _ROOM) - more)
        os.truncate(self.handle, 0)
        os.pwrite(self.handle, str(used + more).encode(), 0)

    def _make_room(self, upto: int) -> int:
        for path in self.cache.half_written():
            path.unlink(missing_ok=True)
        kept = self.cache.kept()
        used = sum(size for _, size, _ in kept)
        for _, size, path in kept:
            if used <= upto:
                break
            path.unlink(missing_ok=True)
            used -= size
        return used
