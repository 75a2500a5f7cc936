"""The owners' face track of a VoxCeleb clip: where in its film, and whose face."""

from pathlib import Path

from avf_shards.schema.labels import Box4, Origin
from avf_shards.timeline import FRAMES_PER_SECOND

_TRACK_BYTES = 10_000_000  # ten thousand times what a track takes; files from outside may be anything


def read_face_track(path: Path, film: str) -> Origin:
    """`parse_face_track` of a txt file. Raises ValueError, OSError."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return parse_face_track(file.read(_TRACK_BYTES), film)


def parse_face_track(text: str, film: str) -> Origin:
    """The range of the YouTube film and the face's median box, from a txt file. Raises ValueError naming the line.

    Seven lines of head, of which only the one that begins with FRAME counts; then FRAME X Y W H, frames at 25 a second,
    boxes as shares of the picture. Boxes in pixels, as VoxCeleb1 has them, are of unknown scale and are left out.
    """
    lines = text.splitlines()
    heads = [number for number, line in enumerate(lines) if line.split()[:1] == ["FRAME"]]
    if not heads:
        raise ValueError("no line that begins with FRAME")
    rows = []
    for number in range(heads[0] + 1, len(lines)):
        if not lines[number].strip():
            continue
        fields = lines[number].split()
        try:
            frame, x, y, width, height = int(fields[0]), *(float(value) for value in fields[1:5])
        except (ValueError, IndexError):
            raise ValueError(f"line {number + 1} is not FRAME X Y W H") from None
        rows.append((frame, x, y, x + width, y + height))
    if not rows:
        raise ValueError("no frame")
    start, stop = min(row[0] for row in rows), max(row[0] for row in rows) + 1
    box: Box4 | None = None
    if all(0 <= value <= 1.001 for row in rows for value in row[1:]):
        left, top, right, bottom = (sorted(row[i] for row in rows)[len(rows) // 2] for i in range(1, 5))
        box = (left, top, right, bottom)
    return Origin(id=film, start_s=start / FRAMES_PER_SECOND, stop_s=stop / FRAMES_PER_SECOND, box=box)
