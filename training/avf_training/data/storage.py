"""Storage of shards: a local folder, or an address that fsspec reads (HTTP, S3 and the like) by ranges of bytes."""

import logging
import os
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import fsspec
from avf_shards.errors import FaultError, UserError
from avf_shards.system.storage_faults import open_plain

from avf_training.data.cache import RangeCache

T = TypeVar("T")
_OPEN_SHARDS = 64  # local shards kept open; a block of the order reads sixteen per source side by side
_REMOTE_READ_AHEAD = 16  # clips read ahead from an address unless the config says otherwise
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Settings that repeat a failed request. The wait doubles after each try.

    The default waits 0.2, 0.4, ... 6.4 s: the network has to be back within half a minute.
    """

    tries: int = 7  # requests in all, the first included
    first_wait_s: float = 0.2  # seconds before the second try

    def __post_init__(self) -> None:
        if self.tries < 1 or self.first_wait_s < 0:
            raise UserError(f"tries {self.tries} must be at least 1, first_wait_s {self.first_wait_s} not below 0")

    def wait_s(self, failures: int) -> float:
        """Return the seconds to wait after so many failed tries."""
        return float(self.first_wait_s * 2 ** (failures - 1))


@dataclass(frozen=True, kw_only=True)
class StorageConfig:
    """Settings that read shards from an address."""

    options: Mapping[str, Any] = field(default_factory=dict)  # for fsspec, for example an S3 endpoint and keys
    cache: Path | None = None  # local folder that keeps the ranges read; None: nothing is kept
    cache_bytes: int = 50_000_000_000  # limit of the cache
    read_ahead: int | None = None  # clips read ahead, a thread each; None: 16 for an address, 0 for a folder
    retry: RetryPolicy = field(default_factory=RetryPolicy)  # when the network fails

    def read_ahead_threads(self, shards: str | Path) -> int:
        """Return how many clips of `shards` are read ahead, each in its own thread."""
        if self.read_ahead is not None:
            return self.read_ahead
        return _REMOTE_READ_AHEAD if is_address(shards) else 0


class LocalFolder:
    """Files of a folder, read by pread. Open files stay in the process that opened them.

    They are closed by `close`, or when nothing refers to the folder any more.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()
        # The descriptors are plain numbers, which Python does not close with the object that holds them.
        weakref.finalize(self, _close_files, self._open).atexit = False

    def size(self, name: str) -> int:
        """Return the bytes of a file. Raises FaultError if it does not exist."""
        try:
            return (self.folder / name).stat().st_size
        except FileNotFoundError:
            raise FaultError(f"{name}: missing") from None

    def read_file(self, name: str, version: str) -> bytes:
        """Return the content of a small file. Raises FaultError if it does not exist."""
        try:
            with open(self.folder / name, "rb", opener=open_plain) as file:
                return file.read()
        except FileNotFoundError:
            raise FaultError(f"{name}: missing") from None

    def read_range(self, name: str, version: str, start: int, stop: int, *, fresh: bool = False) -> bytes:
        """Return bytes [start, stop) of a file, fewer where it ends. Raises FaultError if it does not exist."""
        return os.pread(self._handle(name), stop - start, start)

    def _handle(self, name: str) -> int:
        with self._lock:
            if name not in self._open:
                try:
                    self._open[name] = open_plain(self.folder / name, os.O_RDONLY)
                except FileNotFoundError:
                    raise FaultError(f"{name}: missing") from None
                if len(self._open) > _OPEN_SHARDS:
                    os.close(self._open.popitem(last=False)[1])
            self._open.move_to_end(name)
            return self._open[name]

    def close(self) -> None:
        """Close every file."""
        with self._lock:
            _close_files(self._open)


def _close_files(files: OrderedDict[str, int]) -> None:
    while files:
        os.close(files.popitem()[1])


class RemoteFolder:
    """Files below an address, read by range requests, retried when the network fails, and cached if a cache is set.

    The network never decides which clips the stream delivers: a missing or damaged file is a fault of the data, but an
    address that stays unreachable stops the run with UserError, so that it can be started again later.
    """

    def __init__(self, address: str, config: StorageConfig) -> None:
        self.address, self.config = address.rstrip("/"), config
        self._cache = RangeCache(config.cache, config.cache_bytes) if config.cache else None
        self._files: fsspec.AbstractFileSystem | None = None
        self._process = 0

    def size(self, name: str) -> int:
        """Return the bytes of a file. Raises FaultError if it does not exist, UserError if it cannot be reached."""
        return self._retry(name, lambda files: int(files.size(self._address_of(name))))

    def read_file(self, name: str, version: str) -> bytes:
        """Return the content of a small file; raises as `size`.

        version: a digest of the content, under which it may be cached; empty: it is never cached.
        """

        def read(files: fsspec.AbstractFileSystem) -> bytes:
            data: bytes = files.cat_file(self._address_of(name))
            return data

        # "whole" is part of names on disk: caches that exist stay valid.
        return self._read_cached(name, f"{version} whole" if version else "", read)

    def read_range(self, name: str, version: str, start: int, stop: int, *, fresh: bool = False) -> bytes:
        """Return bytes [start, stop) of a file; raises as `size`.

        version: as in `read_file`. fresh: replace the cached range by what the address holds now.
        """

        def read(files: fsspec.AbstractFileSystem) -> bytes:
            address = self._address_of(name)
            data: bytes = files.cat_file(address, start=start, end=stop)
            if len(data) > stop - start:
                raise UserError(f"{address}: its server ignores ranges; serve the shards where ranges are known")
            if len(data) < stop - start:
                raise OSError(f"{len(data)} bytes came, {stop - start} were asked for")
            return data

        cache_name = f"{version} {start} {stop}" if version else ""
        if fresh and self._cache is not None and cache_name:
            self._cache.remove(cache_name)
        return self._read_cached(name, cache_name, read)

    def _read_cached(self, name: str, cache_name: str, read: Callable[[fsspec.AbstractFileSystem], bytes]) -> bytes:
        """Return what the cache holds under `cache_name`, or read and cache it; an empty name bypasses the cache."""
        if self._cache is None or not cache_name:
            return self._retry(name, read)
        if (data := self._cache.get(cache_name)) is not None:
            return data
        data = self._retry(name, read)
        self._cache.put(cache_name, data)
        return data

    def _retry(self, name: str, request: Callable[[fsspec.AbstractFileSystem], T]) -> T:
        """Return the result of `request`, repeated as the retry policy allows."""
        address, retry = self._address_of(name), self.config.retry
        for attempt in range(1, retry.tries + 1):
            try:
                return request(self._filesystem())
            except FileNotFoundError:
                raise FaultError(f"{name}: missing") from None
            except PermissionError as error:
                raise UserError(f"{address}: not allowed ({error})") from None
            except (UserError, FaultError):
                raise
            except Exception as error:  # each protocol's library raises errors of its own when a connection drops
                reason = f"{type(error).__name__}: {error}"
                if attempt == retry.tries:
                    raise UserError(
                        f"{address}: out of reach after {retry.tries} tries ({reason}); start again when it is back"
                    ) from None
                log.warning("%s: try %d of %d failed (%s)", address, attempt, retry.tries, reason)
                time.sleep(retry.wait_s(attempt))
        raise AssertionError("not reached")

    def _filesystem(self) -> fsspec.AbstractFileSystem:
        """Return the file system of this process: connections do not survive a fork."""
        if self._files is None or self._process != os.getpid():
            protocol = self.address.split("://", 1)[0]
            try:
                self._files = fsspec.filesystem(protocol, skip_instance_cache=True, **self.config.options)
            except (ImportError, ValueError, TypeError) as error:
                raise UserError(f"{self.address}: fsspec cannot read this address ({error})") from None
            self._process = os.getpid()
        return self._files

    def _address_of(self, name: str) -> str:
        return f"{self.address}/{name}"

    def close(self) -> None:
        """Do nothing: a remote folder keeps no file open."""


def is_address(shards: str | Path) -> bool:
    """Return whether shards lie at an address (`https://...`, `s3://...`) and not in a folder."""
    return "://" in str(shards)


def open_storage(shards: str | Path, config: StorageConfig) -> LocalFolder | RemoteFolder:
    """Return the folder or address of shards. Raises UserError for a cache or protocol that cannot be used."""
    return RemoteFolder(str(shards), config) if is_address(shards) else LocalFolder(Path(shards))
