"""Walks the boxes of an MP4 or QuickTime file without FFmpeg. ISO/IEC 14496-12: 4.2."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from avf_curation.media.input_file import InputFile

_FIRST_BOXES = frozenset({b"ftyp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"styp"})
_MAX_BOXES = 20_000  # a file has a few hundred, and one of fragments a few for each second


@dataclass(frozen=True, kw_only=True)
class Mp4Box:
    """A box and where its content lies."""

    kind: bytes  # its four letters
    start: int  # first byte of the content in the file
    stop: int  # byte behind the content


def walk_boxes(file: InputFile, containers: Collection[bytes]) -> Iterator[Mp4Box]:
    """Yield the boxes of a file in its order, each before those in it; none for a file of another kind.

    The file may be read, and its position moved, between two boxes.

    Args:
        containers: kinds of boxes whose content is boxes, which are walked too.
    """
    boxes = 0
    pending = [(0, file.size)]  # start and end of what is to be read, in bytes, the innermost last
    while pending and boxes < _MAX_BOXES:
        position, end = pending.pop()
        if position + 8 > end:
            continue
        file.seek(position)
        head = file.read(16)
        length, kind, header = int.from_bytes(head[:4], "big"), head[4:8], 8
        if length == 1:
            length, header = int.from_bytes(head[8:16], "big"), 16
        elif length == 0:
            length = end - position
        if length < header or (boxes == 0 and kind not in _FIRST_BOXES):
            continue
        boxes += 1
        box = Mp4Box(kind=kind, start=position + header, stop=min(end, position + length))
        yield box
        pending.append((position + length, end))
        if kind in containers:
            pending.append((box.start, box.stop))
