"""MP4 files with an edit list of any kind, which FFmpeg does not write."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_MOVIE_TICKS_PER_S = 1000  # of the files that FFmpeg writes


@dataclass(frozen=True)
class Edit:
    """A stretch of the presentation."""

    seconds: float  # how long it lasts
    media_s: float | None  # time of the media that it begins with; None: it shows nothing
    speed: float = 1.0  # of the media; 0: a picture stands


def with_edit_list(film: bytes, edits: list[Edit], kind: str | None = None, version: int = 0) -> bytes:
    """Return an MP4 file, whose index is behind its media, with another edit list.

    Args:
        kind: of the tracks that get it, `vide` or `soun`; None: all tracks.
        version: of the edit list; 1 has numbers of 64 bits.
    """
    start, stop = next((start, stop) for name, start, stop in _boxes(film, 0, len(film)) if name == b"moov")
    assert stop == len(film), "the index must be the last box"
    content = b"".join(
        _box(name, _with_edits(film[low + 8 : high], edits, version))
        if name == b"trak" and (kind is None or kind.encode() in film[low:high])
        else film[low:high]
        for name, low, high in _boxes(film, start + 8, stop)
    )
    return film[:start] + _box(b"moov", content)


def _with_edits(track: bytes, edits: list[Edit], version: int) -> bytes:
    """Return the content of a track with the edits between its header and its media."""
    boxes = {name: track[low:high] for name, low, high in _boxes(track, 0, len(track))}
    media_header = boxes[b"mdia"].index(b"mdhd")
    (ticks_per_s,) = struct.unpack(">I", boxes[b"mdia"][media_header + 16 : media_header + 20])
    delay = 0  # of the media behind the start of the track: reordered frames, silence of the encoder
    if b"edts" in boxes:
        (delay,) = struct.unpack(">i", boxes[b"edts"][28:32])
    form = ">qqi" if version else ">iii"
    entries = b"".join(
        struct.pack(
            form,
            round(edit.seconds * _MOVIE_TICKS_PER_S),
            -1 if edit.media_s is None else delay + round(edit.media_s * ticks_per_s),
            round(edit.speed * 65536),
        )
        for edit in edits
    )
    edit_list = _box(b"edts", _box(b"elst", struct.pack(">BxxxI", version, len(edits)) + entries))
    return boxes[b"tkhd"] + edit_list + boxes[b"mdia"]


def _boxes(data: bytes, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    while start < stop:
        length, name = struct.unpack(">I4s", data[start : start + 8])
        yield name, start, start + length
        start += length


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content
