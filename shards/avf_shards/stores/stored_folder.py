"""The object that commits a folder to a store: FOLDER/committed.json.

Small files lie in it, large ones are objects of their own beside it, named by their content: FOLDER/parts/SHA256. So a
folder exists if and only if this object does, whoever reads it gets files of one writer, and it is the same folder from
whatever address it is read.
"""

import base64
import binascii
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from avf_shards.errors import FaultError
from avf_shards.format.manifest import seal, unseal
from avf_shards.format.tar import sha256_file
from avf_shards.schema.fields import Fields
from avf_shards.system.storage_faults import read_bytes

COMMITTED = "committed.json"
PARTS = "parts"
_LARGEST_INSIDE_BYTES = 131_072  # ledgers and indexes of a unit of sixteen videos are smaller
_LARGEST_PART_BYTES = 2**43  # a store takes objects of some 2**42 bytes
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]{1,200}(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]{1,200})*")


@dataclass(frozen=True, kw_only=True)
class StoredPart:
    """A file of a stored folder that is an object of its own."""

    size_bytes: int
    sha256: str  # of its content; names its object

    def key_in(self, folder: str) -> str:
        """Return the key of its object, given that of its folder: they lie together, whatever address names them."""
        return f"{folder}/{PARTS}/{self.sha256}" if folder else f"{PARTS}/{self.sha256}"


@dataclass(frozen=True, kw_only=True)
class StoredFolder:
    """The files of a folder that is committed to a store."""

    inside: dict[str, bytes]  # content of the small files, by their names in the folder
    parts: dict[str, StoredPart]  # the other files, by their names in the folder

    @classmethod
    def of(cls, folder: Path) -> "StoredFolder":
        """Return the stored form of a local folder."""
        inside, parts = dict[str, bytes](), dict[str, StoredPart]()
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name, size = path.relative_to(folder).as_posix(), path.stat().st_size
            if size <= _LARGEST_INSIDE_BYTES:
                inside[name] = read_bytes(path)
            else:
                parts[name] = StoredPart(size_bytes=size, sha256=sha256_file(path))
        return cls(inside=inside, parts=parts)

    def to_json(self) -> bytes:
        """Return the content of committed.json; equal folders give equal bytes."""
        inside = {name: base64.b64encode(data).decode("ascii") for name, data in self.inside.items()}
        parts = {name: {"size_bytes": part.size_bytes, "sha256": part.sha256} for name, part in self.parts.items()}
        return seal({"inside": inside, "parts": parts}, "stored folder")

    @classmethod
    def from_json(cls, data: bytes, where: str) -> "StoredFolder":
        """Return the folder that the bytes describe. Raises FaultError for damage, UserError for a newer version."""
        fields = Fields(unseal(data, "stored folder", where), where)
        inside, parts = dict[str, bytes](), dict[str, StoredPart]()
        for name, text in fields.texts("inside").items():
            try:
                inside[_checked(name, where)] = base64.b64decode(text, validate=True)
            except binascii.Error as error:
                raise FaultError(f"{where}: {name}: is no Base64 ({error})") from None
        table = fields.table("parts")
        for name in table.values:
            part = table.table(name)
            sha256 = part.text("sha256")
            if not _SHA256.fullmatch(sha256):
                raise FaultError(f"{where}: {name}: {sha256[:80]!r} is no SHA-256")
            size = part.integer("size_bytes")
            if not 0 < size < _LARGEST_PART_BYTES:
                raise FaultError(f"{where}: {name[:80]!r}: size_bytes is no size of a file")
            parts[_checked(name, where)] = StoredPart(size_bytes=size, sha256=sha256)
        _refuse_names_that_exclude_each_other([*inside, *parts], where)
        return cls(inside=inside, parts=parts)


def _refuse_names_that_exclude_each_other(names: list[str], where: str) -> None:
    folders = {name[:end] for name in names for end, letter in enumerate(name) if letter == "/"}
    repeated = [name for name, count in Counter(names).items() if name in folders or count > 1]
    if repeated:
        raise FaultError(f"{where}: {repeated[0]!r} is named twice, or is a file and a folder")


def _checked(name: str, where: str) -> str:
    """Return the name of a file in a folder. Raises FaultError for one that leads out of it."""
    if not _NAME.fullmatch(name):
        raise FaultError(f"{where}: {name[:80]!r} cannot be the name of a file of a run or a folder of shards")
    return name
