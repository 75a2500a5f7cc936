"""Counts the samples that an MP4 or QuickTime file declares, before FFmpeg makes a table of them.

A sample size that all samples share, and a fragment without sizes, declare any number of samples in a few bytes.
ISO/IEC 14496-12: 8.7.3 (stsz, stz2), 8.8.8 (trun).
"""

from avf_curation.media.input_file import InputFile

_CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"})
_FIRST_BOXES = frozenset({b"ftyp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"styp"})
_COUNT_OFFSETS = {b"stsz": 8, b"stz2": 8, b"trun": 4}  # of the number of samples in the content of a box
_MAX_BOXES = 20_000  # beyond these the limit on memory alone protects


def count_declared_samples(file: InputFile) -> int:
    """Return how many samples the boxes of a file declare, 0 for a file of another kind. The file is rewound."""
    samples, boxes = 0, 0
    pending = [(0, file.size)]  # start and end of what is to be read, in bytes
    while pending and boxes < _MAX_BOXES:
        position, end = pending.pop()
        while position + 8 <= end and boxes < _MAX_BOXES:
            file.seek(position)
            head = file.read(32)
            length, kind, content = int.from_bytes(head[:4], "big"), head[4:8], 8
            if length == 1:
                length, content = int.from_bytes(head[8:16], "big"), 16
            elif length == 0:
                length = end - position
            if length < content or (boxes == 0 and kind not in _FIRST_BOXES):
                break
            boxes += 1
            if kind in _COUNT_OFFSETS:
                start = content + _COUNT_OFFSETS[kind]
                samples += int.from_bytes(head[start : start + 4], "big")
            elif kind in _CONTAINERS:
                pending.append((position + content, min(end, position + length)))
            position += length
    file.seek(0)
    return samples
