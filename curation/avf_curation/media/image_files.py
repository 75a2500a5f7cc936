"""A folder of numbered images as one input: a video with one image per frame.

Micro-expressions last a third of a second and are recorded at 100 or 200 images per second; resampled to 25 they would
be lost. So every image is a frame of the 25 fps timeline, and the video plays in slow motion (ADR 17).
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from avf_shards.timeline import FRAMES_PER_SECOND

IMAGE_CODECS = {".jpg": "mjpeg", ".jpeg": "mjpeg", ".png": "png", ".bmp": "bmp"}
_NUMBER = re.compile(r"(\d+)\D*$")  # the last number of a name without its extension


@dataclass(frozen=True, kw_only=True)
class ImageFolder:
    """The images of a folder, in the order of their numbers."""

    names: tuple[str, ...]  # file names
    numbers: tuple[int, ...]  # rising; they need not start at 1 and may have holes
    size_bytes: int  # of all images together
    mtime_ns: int  # of the image that changed last

    def time_range_s(self, first: int, last: int) -> tuple[float, float] | None:
        """Return the start and end of images `first` to `last` in seconds of the video; None if either lies outside."""
        inside = [index for index, number in enumerate(self.numbers) if first <= number <= last]
        if not inside or first < self.numbers[0] or last > self.numbers[-1]:
            return None
        return inside[0] / FRAMES_PER_SECOND, (inside[-1] + 1) / FRAMES_PER_SECOND


def list_images(folder: Path) -> ImageFolder:
    """List the images of a folder by the last number in their names. Raises OSError."""
    images: list[tuple[int, str]] = []
    size_bytes, mtime_ns = 0, 0
    with os.scandir(folder) as entries:
        for entry in entries:
            stem, extension = os.path.splitext(entry.name)
            number = _NUMBER.search(stem)
            if entry.name.startswith(".") or extension.lower() not in IMAGE_CODECS or number is None:
                continue
            stat = entry.stat()
            images.append((int(number[1]), entry.name))
            size_bytes, mtime_ns = size_bytes + stat.st_size, max(mtime_ns, stat.st_mtime_ns)
    images.sort()  # by number: names sort 10 before 9
    return ImageFolder(
        names=tuple(name for _, name in images),
        numbers=tuple(number for number, _ in images),
        size_bytes=size_bytes,
        mtime_ns=mtime_ns,
    )
