"""Small files that declare much: samples, tracks, hours, pixels."""

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

_MATRIX = struct.pack(">9I", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)


def write_mp4(path: Path, tracks: int, samples: int) -> None:
    """Write an mp4 without media, each of whose tracks declares so many one-byte samples."""
    header = _full_box(
        b"mvhd", _words(0, 0, 1000, 1000, 1 << 16, 0x1000000, 0, 0), _MATRIX, bytes(24), _words(tracks + 1)
    )
    boxes = [_track(number + 1, samples) for number in range(tracks)]
    start = _box(b"ftyp", b"isom", _words(512), b"isom")
    path.write_bytes(start + _box(b"mdat", bytes(16)) + _box(b"moov", header, *boxes))


def write_flac(path: Path, rate_hz: int, blocks: int) -> None:
    """Write silence in FLAC blocks of 65,535 samples, eleven bytes each."""
    rate, samples = rate_hz << 44 | 15 << 36, 65535 * blocks
    info = struct.pack(">HH", 65535, 65535) + bytes(6) + (rate | samples).to_bytes(8, "big") + bytes(16)
    frames = b""
    for number in range(blocks):
        header = bytes([0xFF, 0xF8, 0x70, 0x08, number]) + struct.pack(">H", 65534)
        frame = header + bytes([_crc(header, 0x07, 8)]) + bytes(3)
        frames += frame + struct.pack(">H", _crc(frame, 0x8005, 16))
    path.write_bytes(b"fLaC" + bytes([0x80, 0, 0, 34]) + info + frames)


def write_wav(path: Path, rate_hz: int, samples: int) -> None:
    """Write quiet 16-bit sound at a rate that makes it long."""
    form = struct.pack("<HHIIHH", 1, 1, rate_hz, 2 * rate_hz, 2, 16)
    data = b"\0\1" * samples
    chunks = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)


def write_bmp(path: Path, width: int, height: int) -> None:
    """Write the header of a picture and a kilobyte of it."""
    header = struct.pack("<2sIHHI", b"BM", 54, 0, 0, 54)
    path.write_bytes(header + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, *[0] * 6) + bytes(900))


def write_png(path: Path, width: int, height: int) -> None:
    """Write a black picture; 16,000 x 16,000 pixels take 250 kB."""
    packer = zlib.compressobj(9)
    rows = b"".join([*(packer.compress(bytes(width + 1)) for _ in range(height)), packer.flush()])
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks: Sequence[tuple[bytes, bytes]] = ((b"IHDR", head), (b"IDAT", rows), (b"IEND", b""))
    packed = (_words(len(data)) + kind + data + _words(zlib.crc32(kind + data)) for kind, data in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))


def _track(number: int, samples: int) -> bytes:
    size = struct.pack(">II", 64 << 16, 64 << 16)
    head = _full_box(b"tkhd", _words(0, 0, number, 0, 1000, 0, 0, 0, 0), _MATRIX, size, flags=7)
    codec = bytes(6) + struct.pack(">H", 1) + bytes(16) + struct.pack(">HHIIIH", 64, 64, 0x480000, 0x480000, 0, 1)
    table = _box(
        b"stbl",
        _full_box(b"stsd", _words(1), _box(b"mp4v", codec, bytes(32), struct.pack(">Hh", 24, -1))),
        _full_box(b"stts", _words(1, samples, 1)),
        _full_box(b"stsc", _words(1, 1, samples, 1)),
        _full_box(b"stsz", _words(1, samples)),
        _full_box(b"stco", _words(1, 40)),
    )
    data = _box(b"dinf", _full_box(b"dref", _words(1), _full_box(b"url ", flags=1)))
    handler = _full_box(b"hdlr", bytes(4), b"vide", bytes(12), b"x\0")
    clock = _full_box(b"mdhd", _words(0, 0, 90000, samples, 0))
    return _box(
        b"trak", head, _box(b"mdia", clock, handler, _box(b"minf", _full_box(b"vmhd", bytes(8), flags=1), data, table))
    )


def _words(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def _box(kind: bytes, *parts: bytes) -> bytes:
    data = b"".join(parts)
    return _words(8 + len(data)) + kind + data


def _full_box(kind: bytes, *parts: bytes, flags: int = 0) -> bytes:
    return _box(kind, _words(flags), *parts)


def _crc(data: bytes, polynomial: int, bits: int) -> int:
    top, value = 1 << (bits - 1), 0
    for byte in data:
        value ^= byte << (bits - 8)
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & (2 * top - 1)
    return value
