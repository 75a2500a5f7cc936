"""A local folder of byte ranges that were read from a remote address, with a limit on its size.

The least recently used ranges are evicted first. Any number of processes of one machine share the folder. It must lie
on a local disk: the count of its bytes is guarded by flock, which network file systems do not keep reliably.
"""

import fcntl
import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.system.named_writes import write_bytes

_FILL_SHARE = 0.9  # of the limit that is in use after an eviction, so that not every new range causes one
log = logging.getLogger(__name__)


class RangeCache:
    """Keeps byte ranges by name. A range larger than the limit, or for which the disk has no room, is not kept."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        """Create the folder. Raises UserError when the limit is below 1 or the folder cannot be made."""
        if limit_bytes < 1:
            raise UserError(f"cache_bytes {limit_bytes} must be at least 1")
        self.folder, self.limit_bytes = folder, limit_bytes
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cache {folder}: {error.strerror}; name a folder that can be made and written") from None

    def get(self, name: str) -> bytes | None:
        """Return the range called `name` and mark it as most recently used; None when it is not cached."""
        path = self.path(name)
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:  # not cached, or another process has just evicted it
            return None
        return data

    def put(self, name: str, data: bytes) -> None:
        """Keep a range; other ranges are evicted first when the limit asks for it."""
        path = self.path(name)
        if len(data) > self.limit_bytes * _FILL_SHARE or path.exists():
            return
        temporary = path.with_suffix(f".{os.getpid()}")
        try:
            with self.lock_count() as count:
                count.reserve(len(data))
                path.parent.mkdir(exist_ok=True)
                write_bytes(temporary, data)
                temporary.rename(path)
        except OSError as error:  # a full disk costs the cache only: the stream goes on without this range
            log.warning("cache %s: a range of %d bytes is not kept (%s)", self.folder, len(data), error.strerror)
            with suppress(OSError):
                temporary.unlink()

    def remove(self, name: str) -> None:
        """Remove a range that turned out to be damaged."""
        with suppress(OSError):
            self.path(name).unlink()

    def path(self, name: str) -> Path:
        """Return the file of the range called `name`; it need not exist."""
        digest = hashlib.sha256(name.encode()).hexdigest()
        return self.folder / digest[:2] / digest[2:]

    @contextmanager
    def lock_count(self) -> Iterator["_ByteCount"]:
        """Hold the count of all cached bytes; no other process writes or evicts meanwhile.

        The count is raised before a file is written: a process killed in between leaves it too high, never too low.
        """
        handle = os.open(self.folder / "bytes", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield _ByteCount(self, handle)
        finally:
            os.close(handle)

    def entries(self) -> list[tuple[float, int, Path]]:
        """Return (time of last use, bytes, path) of every range, least recently used first."""
        entries = []
        for entry in self._scan():
            with suppress(OSError):  # evicted by another process since the folder was listed
                stat = entry.stat()
                if "." not in entry.name:
                    entries.append((stat.st_mtime, stat.st_size, Path(entry.path)))
        return sorted(entries)

    def partial_files(self) -> list[Path]:
        """Return the files that killed processes left half written. Call this only while the count is locked."""
        return [Path(entry.path) for entry in self._scan() if "." in entry.name]

    def _scan(self) -> Iterator["os.DirEntry[str]"]:
        for folder in self.folder.glob("??"):
            yield from os.scandir(folder)


class _ByteCount:
    """The count of cached bytes, in a file that this process has locked."""

    def __init__(self, cache: RangeCache, handle: int) -> None:
        self.cache, self.handle = cache, handle

    def reserve(self, size: int) -> None:
        """Add `size` bytes to the count, after evicting ranges if it would exceed the limit."""
        text = os.pread(self.handle, 32, 0)
        used = int(text) if text.isdigit() else sum(size for _, size, _ in self.cache.entries())
        if used + size > self.cache.limit_bytes:
            used = self._evict(int(self.cache.limit_bytes * _FILL_SHARE) - size)
        os.truncate(self.handle, 0)
        os.pwrite(self.handle, str(used + size).encode(), 0)

    def _evict(self, target: int) -> int:
        """Delete least recently used ranges until at most `target` bytes are left; return the bytes left."""
        for path in self.cache.partial_files():
            path.unlink(missing_ok=True)
        entries = self.cache.entries()
        before = used = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if used <= target:
                break
            path.unlink(missing_ok=True)
            used -= size
        log.info("cache %s: evicted %d bytes, %d are left", self.cache.folder, before - used, used)
        return used
