"""Counts the samples that an MP4 or QuickTime file declares, before FFmpeg makes a table of them.

A sample size that all samples share, and a fragment without sizes, declare any number of samples in a few bytes.
ISO/IEC 14496-12: 8.7.3 (stsz, stz2), 8.8.8 (trun).
"""

from avf_curation.media.input_file import InputFile
from avf_curation.media.mp4_boxes import walk_boxes

_CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"})
_COUNT_OFFSETS = {b"stsz": 8, b"stz2": 8, b"trun": 4}  # of the number of samples in the content of a box


def count_declared_samples(file: InputFile) -> int:
    """Return how many samples the boxes of a file declare, 0 for a file of another kind. The file is rewound.

    Beyond the boxes that are walked, the limit on memory alone protects.
    """
    samples = 0
    for box in walk_boxes(file, _CONTAINERS):
        if box.kind in _COUNT_OFFSETS:
            file.seek(box.start + _COUNT_OFFSETS[box.kind])
            samples += int.from_bytes(file.read(4), "big")
    file.seek(0)
    return samples
