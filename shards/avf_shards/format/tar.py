"""A tar whose bytes depend on its members alone, and a reader that trusts the sidecar index, not the headers.

Tar readers that trust headers lose data in silence: a flipped byte in a header reads as the end of the archive. So
every member is described in the sidecar index, and a member is read at its offset, its header compared with the one
header it can have, its payload with its CRC.
"""

import hashlib
import os
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from avf_shards.errors import FaultError
from avf_shards.system import durable_io
from avf_shards.system.storage_faults import name_path, open_plain

BLOCK = 512
END = bytes(2 * BLOCK)
_NAME_BYTES, _SIZE, _CHECKSUM = 100, slice(124, 135), slice(148, 156)


def _template() -> bytes:
    """Return the header of a nameless, empty member with a blank checksum, as the checksum's definition wants it."""
    info = tarfile.TarInfo()
    info.mode = 0o644
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    block[_CHECKSUM] = b" " * 8
    return bytes(block)


_TEMPLATE = _template()  # a reader compares two headers a clip, and tarfile takes a tenth of a millisecond for them


@dataclass(frozen=True, kw_only=True)
class Member:
    """One file in a shard."""

    name: str  # KEY.EXTENSION, at most 100 ASCII characters
    offset: int  # of the payload in bytes; the header is the 512 bytes before
    size: int  # of the payload in bytes
    crc32: int  # of the payload


def header(name: str, size: int) -> bytes:
    """Return the only ustar header (512 bytes) that a member of this name and size can have."""
    written = name.encode("ascii")
    if len(written) > _NAME_BYTES or size >= 8**11:
        raise ValueError(f"member name or size too long for a tar header: {name!r}, {size} bytes")
    block = bytearray(_TEMPLATE)
    block[: len(written)] = written
    block[_SIZE] = b"%011o" % size
    block[_CHECKSUM] = b"%06o\0 " % sum(block)
    return bytes(block)


class TarWriter:
    """Writes members one after another and keeps their index."""

    def __init__(self, path: Path) -> None:
        self._file = durable_io.Writer(path)
        self._digest = hashlib.sha256()
        self._offset = 0
        self.members: list[Member] = []

    def add(self, name: str, payload: bytes, crc32: int | None = None) -> None:
        """Append one member.

        Args:
            crc32: of the payload as it was before it was damaged, so that no reader takes it; None: of the payload.
        """
        crc32 = zlib.crc32(payload) if crc32 is None else crc32
        self.members.append(Member(name=name, offset=self._offset + BLOCK, size=len(payload), crc32=crc32))
        self._put(header(name, len(payload)) + payload + bytes(-len(payload) % BLOCK))

    def close(self) -> tuple[int, str]:
        """Finish the file; return its size in bytes and its SHA-256."""
        self._put(END)
        self._file.close()
        return self._offset, self._digest.hexdigest()

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self._offset += len(data)


def read_member(handle: int, path: Path, member: Member) -> bytes:
    """Return the payload of `member` from the open file `handle`. Raises FaultError with shard, member and fault."""
    with name_path(path):
        data = os.pread(handle, BLOCK + member.size, member.offset - BLOCK)
    return check_member(data, path.name, member)


def check_member(data: bytes | memoryview, shard: str, member: Member) -> bytes:
    """Return the payload in `data`: the header and payload of `member`. Raises FaultError as `read_member`."""
    where = f"{shard}: member {member.name} at byte {member.offset}"
    if len(data) < BLOCK + member.size:
        raise FaultError(f"{where}: the file ends {BLOCK + member.size - len(data)} bytes too early (truncated)")
    if data[:BLOCK] != header(member.name, member.size):
        raise FaultError(f"{where}: its tar header is damaged")
    payload = bytes(data[BLOCK:])
    if zlib.crc32(payload) != member.crc32:
        raise FaultError(f"{where}: its content is damaged (CRC {zlib.crc32(payload):08x}, not {member.crc32:08x})")
    return payload


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits. Raises OSError, which names the file."""
    with name_path(path), open(path, "rb", opener=open_plain) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
