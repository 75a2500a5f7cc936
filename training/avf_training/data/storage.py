"""Where shards lie: a local folder, or an address that fsspec reads (HTTP, S3 and the like) by ranges of bytes."""

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import fsspec
from avf_shards.errors import FaultError, UserError

from avf_training.data.cache import RangeCache

T = TypeVar("T")
_OPEN = 64  # local shards kept open; a block of the order reads sixteen per source side by side
_TRIES, _FIRST_WAIT_S = 7, 0.2  # 0.2, 0.4, ... 6.4 s between: half a minute until the network has to be back


@dataclass(frozen=True, kw_only=True)
class StorageConfig:
    """How an address is read. options: for fsspec, say an S3 endpoint and keys. cache: local folder for what was read.

    read_ahead: clips fetched before they are needed, in as many threads; None: 16 for an address, 0 for a folder.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    cache: Path | None = None
    cache_bytes: int = 50_000_000_000
    read_ahead: int | None = None

    def threads(self, shards: str | Path) -> int:
        """Clips to read ahead from there."""
        return self.read_ahead if self.read_ahead is not None else 16 if is_address(shards) else 0


class LocalFolder:
    """Files of a folder by pread. Handles stay in their process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def size(self, name: str) -> int:
        """Bytes of a file. Raises FaultError where there is none."""
        try:
            return (self.folder / name).stat().st_size
        except FileNotFoundError:
            raise FaultError(f"{name}: missing") from None

    def whole(self, name: str, version: str) -> bytes:
        """A small file. Raises FaultError where there is none."""
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            raise FaultError(f"{name}: missing") from None

    def range(self, name: str, version: str, start: int, stop: int, fresh: bool = False) -> bytes:
        """Bytes [start, stop) of a file, fewer where it ends. Raises FaultError where there is no file."""
        return os.pread(self._handle(name), stop - start, start)

    def _handle(self, name: str) -> int:
        with self._lock:
            if name not in self._open:
                try:
                    self._open[name] = os.open(self.folder / name, os.O_RDONLY)
                except FileNotFoundError:
                    raise FaultError(f"{name}: missing") from None
                if len(self._open) > _OPEN:
                    os.close(self._open.popitem(last=False)[1])
            self._open.move_to_end(name)
            return self._open[name]

    def close(self) -> None:
        """Close every file."""
        while self._open:
            os.close(self._open.popitem()[1])


class RemoteFolder:
    """Files below an address by range requests: tried again when the network fails, kept in the cache if there is one.

    What the network does never decides what the stream delivers: a missing or damaged file is a fault of the data, but
    an address that stays out of reach stops the run with UserError, to be started again.
    """

    def __init__(self, address: str, config: StorageConfig) -> None:
        self.address, self.config = address.rstrip("/"), config
        self._cache = RangeCache(config.cache, config.cache_bytes) if config.cache else None
        self._files: fsspec.AbstractFileSystem | None = None
        self._process = 0

    def size(self, name: str) -> int:
        """Bytes of a file. Raises FaultError where there is none, UserError when the address is out of reach."""
        return self._tried(name, lambda files: int(files.size(self._at(name))))

    def whole(self, name: str, version: str) -> bytes:
        """A small file, from the cache where its `version` (a digest; empty: none) is known. Raises as `size`."""
        return self._kept(name, f"{version} whole", version, False, lambda files: files.cat_file(self._at(name)))

    def range(self, name: str, version: str, start: int, stop: int, fresh: bool = False) -> bytes:
        """Bytes [start, stop) of a file; `fresh`: not from the cache. Raises as `size`."""

        def read(files: fsspec.AbstractFileSystem) -> bytes:
            data: bytes = files.cat_file(self._at(name), start=start, end=stop)
            if len(data) > stop - start:
                raise UserError(f"{self._at(name)}: its server ignores ranges; serve the shards where ranges are known")
            if len(data) < stop - start:
                raise OSError(f"{len(data)} bytes came, {stop - start} were asked for")
            return data

        return self._kept(name, f"{version} {start} {stop}", version, fresh, read)

    def _kept(
        self, name: str, kept_as: str, version: str, fresh: bool, read: Callable[[fsspec.AbstractFileSystem], bytes]
    ) -> bytes:
        if self._cache is None or not version:
            return self._tried(name, read)
        if fresh:
            self._cache.drop(kept_as)
        elif (data := self._cache.get(kept_as)) is not None:
            return data
        data = self._tried(name, read)
        self._cache.put(kept_as, data)
        return data

    def _tried(self, name: str, work: Callable[[fsspec.AbstractFileSystem], T]) -> T:
        for tried in range(1, _TRIES + 1):
            try:
                return work(self._filesystem())
            except FileNotFoundError:
                raise FaultError(f"{name}: missing") from None
            except PermissionError as error:
                raise UserError(f"{self._at(name)}: not allowed ({error})") from None
            except (UserError, FaultError):
                raise
            except Exception as error:  # each protocol's library raises errors of its own when a connection drops
                if tried == _TRIES:
                    told = f"{type(error).__name__}: {error}"
                    raise UserError(
                        f"{self._at(name)}: out of reach after {_TRIES} tries ({told}); start again when it is back"
                    ) from None
                time.sleep(_FIRST_WAIT_S * 2 ** (tried - 1))
        raise AssertionError("not reached")

    def _filesystem(self) -> fsspec.AbstractFileSystem:
        """One for this process: connections do not survive a fork."""
        if self._files is None or self._process != os.getpid():
            protocol = self.address.split("://", 1)[0]
            try:
                self._files = fsspec.filesystem(protocol, skip_instance_cache=True, **self.config.options)
            except (ImportError, ValueError, TypeError) as error:
                raise UserError(f"{self.address}: fsspec cannot read this address ({error})") from None
            self._process = os.getpid()
        return self._files

    def _at(self, name: str) -> str:
        return f"{self.address}/{name}"

    def close(self) -> None:
        """Nothing is kept open that needs closing."""


def is_address(shards: str | Path) -> bool:
    """Whether shards lie at an address (`https://...`, `s3://...`) and not in a folder."""
    return "://" in str(shards)


def open_storage(shards: str | Path, config: StorageConfig) -> LocalFolder | RemoteFolder:
    """The folder or address of shards. Raises UserError for a cache or protocol that cannot be used."""
    return RemoteFolder(str(shards), config) if is_address(shards) else LocalFolder(Path(shards))
