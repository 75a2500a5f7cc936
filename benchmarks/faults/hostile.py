"""Small files that are written to do harm: they declare much, name other files, or pretend to be what they are not."""

import random
import struct
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from support import bombs

from benchmarks.faults.films import FORMATS, write_film

_REFERENCES = (
    "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n",
    "ffconcat version 1.0\nfile {target}\n",
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=control:{target}\n",
    '<?xml version="1.0"?><!DOCTYPE m [<!ENTITY x SYSTEM "{target}">]><MPD><Period>&x;</Period></MPD>',
    "[playlist]\nFile1={target}\nNumberOfEntries=1\n",
    "RTSPtext\r\nrtsp://{target}\r\n",
    "#!/bin/sh\ncat {target}\n",
)
_TARGETS = (
    "file:///etc/passwd",
    "/etc/passwd",
    "http://127.0.0.1:9/x.ts",
    "concat:/etc/passwd|x",
    "subfile,,:/dev/zero",
)


def draw_hostile(kind: str, draw: random.Random) -> tuple[str, bytes]:
    """Return the ending and the bytes of a file of a kind of `HOSTILE_KINDS`."""
    return HOSTILE_KINDS[kind](draw)


def _many_samples(draw: random.Random) -> tuple[str, bytes]:
    tracks = draw.choice((1, 2, 3, 12, 60, 200))
    samples = draw.choice((10**4, 10**6, 2 * 10**7, 10**8, 2**31 - 1, 2**32 - 1))
    return "mp4", _written(lambda path: bombs.write_mp4(path, tracks, samples))


def _long_flac(draw: random.Random) -> tuple[str, bytes]:
    rate_hz, blocks = draw.choice((1, 8, 100, 1000, 16_000, 655_350)), draw.randrange(1, 121)
    return "flac", _written(lambda path: bombs.write_flac(path, rate_hz, blocks))


def _long_wav(draw: random.Random) -> tuple[str, bytes]:
    rate_hz, samples = draw.choice((1, 50, 3999, 4000, 8000, 2**32 - 1)), draw.randrange(1, 60_000)
    data = _written(lambda path: bombs.write_wav(path, min(rate_hz, 2**31 - 1), samples))
    return "wav", data[:24] + struct.pack("<I", rate_hz) + data[28:]


def _large_y4m(draw: random.Random) -> tuple[str, bytes]:
    """Write raw pictures of a declared size and rate; a few of their bytes follow."""
    width, height = (draw.choice((1, 16, 8192, 32_767, 65_536, 2**31 - 1)) for _ in range(2))
    rate = draw.choice(("25:1", "1:1000000", "2147483647:1", "0:0", "1:2147483647"))
    head = f"YUV4MPEG2 W{width} H{height} F{rate} Ip A1:1 C{draw.choice(('420', '444', '420p16', 'mono'))}\n"
    return "y4m", head.encode() + b"FRAME\n" + bytes(draw.choice((0, 100, 1 << 16)))


def _many_sizes(draw: random.Random) -> tuple[str, bytes]:
    """Change the sizes in the headers of a film: the codec then says another size than the container."""
    name = draw.choice(
        [name for name in FORMATS if FORMATS[name][0] in ("mp4", "mov", "mkv", "avi", "flv", "ivf", "gif")]
    )
    film, words = bytearray(write_film(name)), []
    for order in "<>":
        for width, height in ((160, 120), (176, 144)):
            for letter in "HI":
                pair = struct.pack(f"{order}2{letter}", width, height)
                words += [(offset, order + letter) for offset in _occurrences(film, pair)]
    for offset, letter in words:
        word = struct.pack(letter, draw.choice((0, 1, 4000, 16_384, 65_535)))
        film[offset : offset + len(word)] = word
        film[offset + len(word) : offset + 2 * len(word)] = word
    return FORMATS[name][0], bytes(film)


def _references(draw: random.Random) -> tuple[str, bytes]:
    text = draw.choice(_REFERENCES).format(target=draw.choice(_TARGETS)) + "\n" * draw.randrange(50)
    return draw.choice(("mp4", "mkv", "avi", "ts", "mov", "wav", "gif")), text.encode()


def _other_names(draw: random.Random) -> tuple[str, bytes]:
    """Return a good film, or half of it, under the ending of another format."""
    film = write_film(draw.choice(tuple(FORMATS)))
    ending = draw.choice([ending for ending, _ in FORMATS.values()])
    return ending, film[: draw.choice((len(film), len(film) // 2, 64))] + bytes(draw.randrange(100))


def _no_film(draw: random.Random) -> tuple[str, bytes]:
    """Return noise, zeros or text, or little more than the first bytes by which a format is known."""
    size = draw.choice((0, 1, 7, 100, 5000, 60_000))
    start = write_film(draw.choice(tuple(FORMATS)))[: draw.choice((0, 4, 16, 64, 400))]
    rest = draw.choice((bytes(size), draw.randbytes(size), b"not a film\n" * (size // 11)))
    return draw.choice([ending for ending, _ in FORMATS.values()]), start + rest


HOSTILE_KINDS: Mapping[str, Callable[[random.Random], tuple[str, bytes]]] = {
    "MP4 that declares up to 4e9 samples in up to 200 tracks": _many_samples,
    "FLAC of 1 Hz and up, 11 bytes for 65,535 samples": _long_flac,
    "WAV of impossible rates": _long_wav,
    "raw pictures of up to 2e9 x 2e9 pixels": _large_y4m,
    "films whose headers say other sizes": _many_sizes,
    "playlists and other texts that name files and addresses": _references,
    "films under the ending of another format": _other_names,
    "noise, zeros and text behind the first bytes of a format": _no_film,
}
"""Kind, in the words of the page -> a function that draws a file: its ending and its bytes."""


def _written(write: Callable[[Path], None]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder, "file"))
        return Path(folder, "file").read_bytes()


def _occurrences(data: bytes | bytearray, word: bytes) -> list[int]:
    offsets, offset = [], data.find(word)
    while offset >= 0:
        offsets.append(offset)
        offset = data.find(word, offset + 1)
    return offsets
