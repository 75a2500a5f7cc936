"""Object stores that fsspec reads and writes: s3:// by s3fs, gs:// by gcsfs, az:// by adlfs, memory:// in tests."""

import errno
import logging
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

import fsspec

from avf_shards.errors import UserError
from avf_shards.stores.object_store import StoredObject

T = TypeVar("T")
log = logging.getLogger(__name__)
_TRIES = 7  # of a request, the first included
_FIRST_WAIT_S = 0.2  # doubles; with what the clients wait themselves, a store may be away for a minute
#: Fields in which the clients of s3fs, gcsfs and adlfs say which version of an object they have seen.
_VERSION_FIELDS = ("ETag", "etag", "generation")
_MODIFIED_FIELDS = ("LastModified", "updated", "last_modified", "created")


_NOT_FOUND = "NotFound"  # in the names of Azure's own errors, as of a container that does not exist

#: Codes of an answer that a condition does not hold. s3fs knows by another field of it that the name was taken, which
#: Ceph's gateway leaves out.
_TAKEN = ("PreconditionFailed", "412")
_NO_CREDENTIALS = "Credentials"  # in the names of botocore's own errors, where nobody says who the user is


class StoreError(OSError):
    """A store that stays out of reach: a fault of the machine or its network, never of a file."""

    was_repeated = True  # `retry_read` does not ask once more, and a run stops


class RefusedError(OSError):
    """A store that does not allow a request: a fault of rights or of a token, never of a file."""

    was_repeated = True  # no later answer is another one


def _out_of_reach(address: str, reason: str) -> StoreError:
    # An error whose constructor takes other arguments than OSError's would not come back from a worker.
    remedy = "start the same command again when it is back"
    return StoreError(errno.EIO, f"out of reach after {_TRIES} tries ({reason}); {remedy}", address)


def _is_outage(cause: BaseException | None) -> TypeGuard[Exception]:
    """Return whether a web server was away or had no time, which fsspec calls a missing file; `cause` tells which."""
    status = getattr(cause, "status", None)  # of an answer, in aiohttp
    busy = isinstance(status, int) and (status >= 500 or status == 429)
    return busy or (isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError))


def _refused(address: str, reason: str) -> RefusedError:
    remedy = "look at the credentials, the rights and the age of the token, then start the same command again"
    return RefusedError(errno.EACCES, f"the store does not allow this ({reason}); {remedy}", address)


class FsspecStore:
    """An `ObjectStore` at an address of fsspec. It can be pickled, and opens a client of its own in each process."""

    def __init__(self, address: str, options: Mapping[str, Any] | None = None) -> None:
        """Prepare the store; nothing is asked of it yet.

        Args:
            options: for the client of fsspec, for example an endpoint; what it lacks comes from the environment.
        """
        self.address = address.rstrip("/")
        self._options = dict(options or {})
        self._client: Any = None
        self._process = 0

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_client": None}

    def find(self, prefix: str = "") -> list[StoredObject]:
        def ask(client: Any) -> list[StoredObject]:
            root = client._strip_protocol(self.address)
            start = f"{root}/{prefix}"
            # A prefix that ends in the middle of a name is asked for by its folder.
            folder = start.rpartition("/")[0]
            listed = client.find(folder, detail=True)
            named = {name: entry for name, entry in listed.items() if name.startswith(start)}
            return [self._stored(name[len(root) + 1 :], entry) for name, entry in sorted(named.items())]

        try:
            return self._request(prefix, ask)
        except FileNotFoundError:
            return []

    def look_up(self, key: str) -> StoredObject | None:
        try:
            entry = self._request(key, lambda client: client.info(self._address_of(key)))
        except FileNotFoundError:
            return None
        return None if entry.get("type") == "directory" else self._stored(key, entry)

    def read(self, key: str) -> bytes | None:
        try:
            return self._request(key, lambda client: bytes(client.cat_file(self._address_of(key))))
        except FileNotFoundError:
            return None

    def read_range(self, key: str, start: int, stop: int) -> bytes:
        def ask(client: Any) -> bytes:
            data = bytes(client.cat_file(self._address_of(key), start=start, end=stop))
            if len(data) != stop - start:
                raise OSError(f"{len(data)} bytes came, {stop - start} were asked for")
            return data

        return self._request(key, ask) if stop > start else b""

    def create(self, key: str, data: bytes) -> bool:
        return self._create(key, lambda client: client.pipe_file(self._address_of(key), data, mode="create"))

    def create_from_file(self, key: str, path: Path) -> bool:
        # A file of more than 100 MB goes in parts, and Ceph's gateway passes over the condition of their completion.
        if self.look_up(key) is not None:
            return False
        return self._create(key, lambda client: client.put_file(str(path), self._address_of(key), mode="create"))

    def write(self, key: str, data: bytes) -> None:
        self._write(key, lambda client: client.pipe_file(self._address_of(key), data))

    def write_from_file(self, key: str, path: Path) -> None:
        self._write(key, lambda client: client.put_file(str(path), self._address_of(key)))

    def delete(self, key: str) -> None:
        try:
            self._request(key, lambda client: client.rm_file(self._address_of(key)))
        except FileNotFoundError:
            return

    def _create(self, key: str, ask: Callable[[Any], object]) -> bool:
        try:
            self._write(key, ask)
        except FileExistsError:
            return False
        return True

    def _write(self, key: str, ask: Callable[[Any], object]) -> None:
        try:
            self._request(key, ask)
        except FileNotFoundError as error:
            raise UserError(f"{self.address}: cannot be written to ({error}); make the bucket first") from None

    def _request(self, key: str, ask: Callable[[Any], T]) -> T:
        """Return the answer to one request, which is repeated while the network or the store fails."""
        address = self._address_of(key)
        for attempt in range(1, _TRIES + 1):
            try:
                return ask(self._connect())
            except (FileExistsError, UserError):
                raise
            except PermissionError as error:
                raise _refused(address, str(error)) from None
            except Exception as error:  # each client raises errors of its own when a connection drops
                if isinstance(error, FileNotFoundError):
                    if not _is_outage(error.__cause__):
                        raise
                    error = error.__cause__
                reason = _reason(error)
                if _NO_CREDENTIALS in type(error).__name__:
                    raise _refused(address, reason) from None
                if _is_taken(error):
                    raise FileExistsError(errno.EEXIST, reason, address) from None
                if _NOT_FOUND in type(error).__name__:
                    raise FileNotFoundError(errno.ENOENT, reason, address) from None
                if attempt == _TRIES:
                    raise _out_of_reach(address, reason) from None
                wait_s = _FIRST_WAIT_S * 2 ** (attempt - 1)
                log.warning("%s: try %d of %d failed (%s)", address, attempt, _TRIES, reason)
                time.sleep(wait_s)
        raise AssertionError("not reached")

    def _connect(self) -> Any:
        """Return the client of this process: connections do not survive a fork."""
        if self._client is None or self._process != os.getpid():
            protocol = self.address.split("://", 1)[0]
            try:
                self._client = fsspec.filesystem(
                    protocol, skip_instance_cache=True, use_listings_cache=False, **self._options
                )
            except ImportError:
                raise UserError(f"{self.address}: {_missing_client(protocol)}") from None
            except (ValueError, TypeError) as error:
                raise UserError(f"{self.address}: fsspec cannot open this address ({error})") from None
            self._process = os.getpid()
        return self._client

    def _address_of(self, key: str) -> str:
        return f"{self.address}/{key}" if key else self.address

    def _stored(self, key: str, entry: Mapping[str, Any]) -> StoredObject:
        version = next((str(entry[name]) for name in _VERSION_FIELDS if entry.get(name)), "")
        modified = next((entry[name] for name in _MODIFIED_FIELDS if entry.get(name)), None)
        return StoredObject(
            key=key, size_bytes=int(entry.get("size") or 0), version=version, modified_ns=_nanoseconds(modified)
        )


def _missing_client(protocol: str) -> str:
    extra = "az" if protocol == "abfs" else protocol
    return f"this needs a package that is not installed; get it with\n  pip install 'avf-foundry[{extra}]'"


def _is_taken(error: BaseException) -> bool:
    """Return whether the store refused to write over an object: no other request of ours has a condition."""
    response = getattr(error.__cause__, "response", None)
    described = response.get("Error") if isinstance(response, Mapping) else None
    return isinstance(described, Mapping) and described.get("Code") in _TAKEN


def _reason(error: BaseException) -> str:
    """Return an error in one line; some clients add pages of XML."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _nanoseconds(moment: object) -> int:
    """Return a time as the clients give it in nanoseconds since 1970, 0 for none.

    It has whole seconds: S3 tells fractions of one in listings alone.
    """
    if isinstance(moment, (int, float)):
        return int(moment) * 1_000_000_000
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            return 0
    if not isinstance(moment, datetime):
        return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000_000
