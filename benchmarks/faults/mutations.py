"""Damage to the bytes of a file, drawn from a seed: the same seed makes the same file everywhere."""

import random
import struct
from collections.abc import Callable, Mapping

_EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)
_HEAD_BYTES = 1024  # of a file, where most fields lie that say how large others are


def mutate(data: bytes, other: bytes, draw: random.Random) -> tuple[str, bytes]:
    """Return the name of a kind of damage, and a file with one to three damages of kinds that are drawn.

    Args:
        other: another file, of which parts are put into this one.
    """
    names = draw.choices(tuple(MUTATIONS), k=draw.choice((1, 1, 1, 2, 3)))
    for name in names:
        if not data:
            break
        data = MUTATIONS[name](data, other, draw)
    return names[0], data


def _flip_bit(data: bytes, other: bytes, draw: random.Random) -> bytes:
    changed, offset = bytearray(data), _draw_offset(data, draw)
    changed[offset] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _change_bytes(data: bytes, other: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice((1, 3, 30, 300))):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)


def _set_word(data: bytes, other: bytes, draw: random.Random) -> bytes:
    """Set 2, 4 or 8 bytes to a number at the end of its range, as a size, a count or a rate would be."""
    size, order = draw.choice((2, 4, 4, 4, 8)), draw.choice("<>")
    letter = {2: "H", 4: "I", 8: "Q"}[size]
    number = draw.choice((*_EXTREMES, (1 << 8 * size) - 1, len(data), draw.getrandbits(8 * size)))
    offset = min(_draw_offset(data, draw), max(0, len(data) - size))
    word = struct.pack(order + letter, number & ((1 << 8 * size) - 1))
    return data[:offset] + word + data[offset + size :]


def _cut_end(data: bytes, other: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


def _cut_out(data: bytes, other: bytes, draw: random.Random) -> bytes:
    start, stop = _draw_range(data, draw)
    return data[:start] + data[stop:]


def _zero(data: bytes, other: bytes, draw: random.Random) -> bytes:
    start, stop = _draw_range(data, draw)
    return data[:start] + bytes(stop - start) + data[stop:]


def _repeat(data: bytes, other: bytes, draw: random.Random) -> bytes:
    start, stop = _draw_range(data, draw)
    return data[:stop] + data[start:stop] * draw.choice((1, 1, 2, 20)) + data[stop:]


def _swap(data: bytes, other: bytes, draw: random.Random) -> bytes:
    a, b, c = sorted(draw.randrange(len(data) + 1) for _ in range(3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def _splice(data: bytes, other: bytes, draw: random.Random) -> bytes:
    """Put the end of another file behind the beginning of this one."""
    return data[: draw.randrange(len(data))] + other[draw.randrange(len(other)) :]


def _join(data: bytes, other: bytes, draw: random.Random) -> bytes:
    return data + other


def _insert_noise(data: bytes, other: bytes, draw: random.Random) -> bytes:
    offset = _draw_offset(data, draw)
    return data[:offset] + draw.randbytes(draw.choice((1, 4, 188, 4096))) + data[offset:]


MUTATIONS: Mapping[str, Callable[[bytes, bytes, random.Random], bytes]] = {
    "bit": _flip_bit,
    "bytes": _change_bytes,
    "number": _set_word,
    "end": _cut_end,
    "hole": _cut_out,
    "zeros": _zero,
    "repeat": _repeat,
    "swap": _swap,
    "splice": _splice,
    "join": _join,
    "noise": _insert_noise,
}
"""Name of a kind of damage -> (file, another file, draw) -> the damaged file."""


def _draw_offset(data: bytes, draw: random.Random) -> int:
    """Return an offset: one in three lies in the first kilobyte, one in three in the last, where MP4 has its index."""
    head = min(_HEAD_BYTES, len(data))
    return draw.choice((draw.randrange(len(data)), draw.randrange(head), len(data) - 1 - draw.randrange(head)))


def _draw_range(data: bytes, draw: random.Random) -> tuple[int, int]:
    start = _draw_offset(data, draw)
    return start, min(len(data), start + draw.choice((1, 4, 64, 1000, 10_000)))
