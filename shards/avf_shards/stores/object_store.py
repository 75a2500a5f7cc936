"""What the project asks of an object store, and nothing else: no rename, no lock, no listing that is up to date."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """An object as its store describes it."""

    key: str  # name below the address of the store
    size_bytes: int  # of its content
    version: str  # changes with the content: an ETag or a generation; empty where the store has none
    modified_ns: int  # when it was written, by the clock of the store, in nanoseconds since 1970


class ObjectStore(Protocol):
    """The objects below one address.

    Every method raises UserError where the store refuses (no permission, an expired token, no such bucket) and
    StoreError where it stays out of reach after several tries.
    """

    address: str

    def find(self, prefix: str = "") -> list[StoredObject]:
        """Return the objects whose keys begin with `prefix`, by key. It may lack what was written just now."""

    def look_up(self, key: str) -> StoredObject | None:
        """Return one object; None where it does not exist."""

    def read(self, key: str) -> bytes | None:
        """Return the content of a small object; None where it does not exist."""

    def read_range(self, key: str, start: int, stop: int) -> bytes:
        """Return bytes [start, stop) of an object. Raises FileNotFoundError where it does not exist."""

    def create(self, key: str, data: bytes) -> bool:
        """Write an object if and only if none of that key exists; return whether it was written.

        A lost answer may make the answer False although this call has written the object: whoever needs to know
        compares the content.
        """

    def create_from_file(self, key: str, path: Path) -> bool:
        """Do what `create` does with the content of a file."""

    def write(self, key: str, data: bytes) -> None:
        """Write an object, over an earlier one of that key."""

    def write_from_file(self, key: str, path: Path) -> None:
        """Do what `write` does with the content of a file."""

    def delete(self, key: str) -> None:
        """Delete an object; one that does not exist is ignored."""
