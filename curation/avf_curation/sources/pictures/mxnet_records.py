"""Packed pictures as MXNet writes them: train.rec holds records one after another, train.idx where each begins.

A record is two words, little endian: a mark, then the length in 29 bits below three that say whether the record is a
part of a longer one. Its payload is a header (flag, label, two ids), `flag` more labels, and the bytes of the picture.
Nothing in a file is believed before it is compared with the size of the file.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from avf_shards.system.storage_faults import open_plain

_MARK = 0xCED7230A
_HEAD = struct.Struct("<II")
_PAYLOAD_HEAD = struct.Struct("<IfQQ")
_LENGTH_BITS = 29
_MAX_LABELS = 64  # of a record; face corpora have at most two
_MAX_INDEX_LINE = 64  # bytes: two whole numbers
_MAX_RECORD_BYTES = 16_000_000  # of a picture
_MAX_PARTS = 1000  # of a record: it is cut where four bytes of a picture are the mark, by chance never twice
_IMAGE_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")


class RecordError(Exception):
    """Raised for a record or a line of an index that cannot be one; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedPicture:
    """What the head of a record says."""

    labels: tuple[float, ...]  # of face corpora: the number of the person
    size_bytes: int  # of the picture; 0 for a record without one
    is_picture: bool  # the payload begins as a JPEG or PNG does


def read_index(path: Path) -> Iterator[tuple[int, int | None, int | None]]:
    """Yield line number, key and position of each record; key and position are None for a line that is neither.

    Raises OSError.
    """
    with open(path, "rb", opener=open_plain) as file:
        number = 0
        while line := file.readline(_MAX_INDEX_LINE):
            number += 1
            if len(line) == _MAX_INDEX_LINE and not line.endswith(b"\n"):
                while (rest := file.readline(_MAX_INDEX_LINE)) and not rest.endswith(b"\n"):
                    pass
                yield number, None, None
                continue
            fields = line.split()
            if len(fields) == 2 and all(field.isdigit() for field in fields):
                yield number, int(fields[0]), int(fields[1])
            elif fields:
                yield number, None, None


class RecordFile:
    """An open .rec file, of which single records are read."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = open(path, "rb", opener=open_plain)  # noqa: SIM115  closed by `close`
        stat = os.fstat(self._file.fileno())
        self.size_bytes, self.mtime_ns = stat.st_size, stat.st_mtime_ns

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "RecordFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read_head(self, position: int) -> PackedPicture:
        """Return the head of the record at a position. Raises RecordError, and OSError."""
        length, part = self._read_length(position)
        if part not in (0, 1):
            raise RecordError("it is the middle of a longer record")
        if length < _PAYLOAD_HEAD.size:
            raise RecordError(f"{length} bytes are too few for a picture's head")
        flag, label, _, _ = _PAYLOAD_HEAD.unpack(self._file.read(_PAYLOAD_HEAD.size))
        if flag > _MAX_LABELS or _PAYLOAD_HEAD.size + 4 * flag > length:
            raise RecordError(f"it claims {flag} labels")
        labels = struct.unpack(f"<{flag}f", self._file.read(4 * flag)) if flag else (label,)
        start = self._file.read(min(8, length - _PAYLOAD_HEAD.size - 4 * flag))
        size_bytes = length - _PAYLOAD_HEAD.size - 4 * flag
        if part == 1:
            size_bytes += self._size_of_parts(position, length)
        return PackedPicture(labels=labels, size_bytes=size_bytes, is_picture=start.startswith(_IMAGE_STARTS))

    def read_picture(self, position: int) -> bytes:
        """Return the bytes of the picture in the record at a position. Raises RecordError, and OSError."""
        head = self.read_head(position)
        if head.size_bytes > _MAX_RECORD_BYTES:
            raise RecordError(f"{head.size_bytes:,} bytes are more than any picture has")
        pieces: list[bytes] = []
        while True:
            length, part = self._read_length(position)
            pieces.append(self._file.read(length))
            if part in (0, 3):
                payload = struct.pack("<I", _MARK).join(pieces)
                return payload[len(payload) - head.size_bytes :]
            position += _HEAD.size + _padded(length)

    def _size_of_parts(self, position: int, length: int) -> int:
        """Return how many bytes the parts after the first one add, each with the mark that was cut out before it."""
        size_bytes = 0
        for _ in range(_MAX_PARTS):
            position += _HEAD.size + _padded(length)
            length, part = self._read_length(position)
            if part not in (2, 3):
                raise RecordError("a part of it is missing")
            size_bytes += 4 + length
            if size_bytes > _MAX_RECORD_BYTES:
                raise RecordError(f"more than {_MAX_RECORD_BYTES:,} bytes, which no picture has")
            if part == 3:
                return size_bytes
        raise RecordError(f"more than {_MAX_PARTS:,} parts, which no picture has")

    def _read_length(self, position: int) -> tuple[int, int]:
        """Return the length of a record and the code of its part; the file stands behind both then."""
        if position + _HEAD.size > self.size_bytes:
            raise RecordError(f"position {position} is behind the end of the file")
        self._file.seek(position)
        mark, word = _HEAD.unpack(self._file.read(_HEAD.size))
        if mark != _MARK:
            raise RecordError("no record begins there")
        length, part = word & ((1 << _LENGTH_BITS) - 1), word >> _LENGTH_BITS
        if position + _HEAD.size + length > self.size_bytes:
            raise RecordError("the file ends before it does")
        return length, part


def _padded(length: int) -> int:
    return -(-length // 4) * 4
