"""What an MP4 or QuickTime file makes FFmpeg take for the samples and tracks that it declares, before FFmpeg opens it.

A sample size that all samples share, and a fragment without sizes, declare any number of samples in a few bytes.
A track takes half a kilobyte of a file, and FFmpeg opens a decoder for each.
ISO/IEC 14496-12: 8.7.3 (stsz, stz2), 8.8.8 (trun).
"""

from avf_curation.media.input_file import InputFile
from avf_curation.media.mp4_boxes import walk_boxes

_CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"})
_COUNT_OFFSETS = {b"stsz": 8, b"stz2": 8, b"trun": 4}  # of the number of samples in the content of a box
_INDEX_ENTRY_BYTES = 24  # of FFmpeg's table, for each sample
_TRACK_BYTES = 8_000_000  # measured: a decoder of 64 x 64 pixels that FFmpeg opens to look at a stream takes 5 MB


def declared_memory_bytes(file: InputFile) -> int:
    """Return how much memory opening a file takes for its samples and tracks, 0 for another kind. The file is rewound.

    Beyond the boxes that are walked, the limit on memory alone protects.
    """
    samples = tracks = 0
    for box in walk_boxes(file, _CONTAINERS):
        tracks += box.kind == b"trak"
        if box.kind in _COUNT_OFFSETS:
            file.seek(box.start + _COUNT_OFFSETS[box.kind])
            samples += int.from_bytes(file.read(4), "big")
    file.seek(0)
    return _INDEX_ENTRY_BYTES * samples + _TRACK_BYTES * tracks
