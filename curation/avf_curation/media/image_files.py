"""A folder of numbered pictures as one input: a film of them, a picture a frame.

Micro-expressions last a third of a second and are recorded at 100 or 200 pictures a second; resampled to 25 they would
be gone. So every picture is a frame of the 25 fps timeline, and the film is slow (ADR 17).
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from avf_shards.timeline import FRAMES_PER_SECOND

KINDS = {".jpg": "mjpeg", ".jpeg": "mjpeg", ".png": "png", ".bmp": "bmp"}
_NUMBER = re.compile(r"(\d+)\D*$")


@dataclass(frozen=True, kw_only=True)
class ImageFolder:
    """names: in the order of their numbers; numbers rise. size_bytes, mtime_ns: of all together, the newest."""

    names: tuple[str, ...]
    numbers: tuple[int, ...]
    size_bytes: int
    mtime_ns: int

    def time_range_s(self, first: int, last: int) -> tuple[float, float] | None:
        """Seconds of the film in which the pictures numbered first to last are; None where one of both is beyond."""
        inside = [place for place, number in enumerate(self.numbers) if first <= number <= last]
        if not inside or first < self.numbers[0] or last > self.numbers[-1]:
            return None
        return inside[0] / FRAMES_PER_SECOND, (inside[-1] + 1) / FRAMES_PER_SECOND


def list_images(folder: Path) -> ImageFolder:
    """The pictures of a folder, by the number at the end of their names. Raises OSError."""
    found: list[tuple[int, str]] = []
    size, newest = 0, 0
    with os.scandir(folder) as entries:
        for entry in entries:
            stem, kind = os.path.splitext(entry.name)
            number = _NUMBER.search(stem)
            if entry.name.startswith(".") or kind.lower() not in KINDS or number is None:
                continue
            stat = entry.stat()
            found.append((int(number[1]), entry.name))
            size, newest = size + stat.st_size, max(newest, stat.st_mtime_ns)
    found.sort()
    return ImageFolder(
        names=tuple(name for _, name in found),
        numbers=tuple(number for number, _ in found),
        size_bytes=size,
        mtime_ns=newest,
    )
