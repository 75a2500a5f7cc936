"""The owners' face track of a VoxCeleb clip: its range in the YouTube video, and the box of the face."""

from pathlib import Path

from avf_shards.schema.labels import Box4, Origin
from avf_shards.system.storage_faults import read_bytes
from avf_shards.timeline import FRAMES_PER_SECOND

# The shares are rounded to three decimals, so X + W may exceed 1 by a thousandth.
_MAX_SHARE = 1.001
_MAX_FRAME = 100 * 3600 * FRAMES_PER_SECOND  # of a video of a hundred hours
_MAX_BYTES = 10_000_000  # ten thousand times the size of a track; a file from outside may be anything


def read_face_track(path: Path, youtube_id: str) -> Origin:
    """Read a txt file and parse it as `parse_face_track` does.

    Raises:
        OSError: the file cannot be read.
        ValueError: the text is no face track.
    """
    return parse_face_track(read_bytes(path, _MAX_BYTES).decode("utf-8", "replace"), youtube_id)


def parse_face_track(text: str, youtube_id: str) -> Origin:
    """Return the clip's range in the YouTube video and the face's median box.

    The text has a header, which ends with the line that begins with FRAME, and then lines FRAME X Y W H: frames at 25
    per second, boxes as shares of the image. Boxes in pixels, as VoxCeleb1 has them, are of unknown scale and are
    ignored.

    Raises:
        ValueError: there is no header or no frame, or a line is not FRAME X Y W H, or its frame lies in no
            video; the message names the line.
    """
    lines = text.splitlines()
    headers = [number for number, line in enumerate(lines) if line.split()[:1] == ["FRAME"]]
    if not headers:
        raise ValueError("no line that begins with FRAME")
    rows = []
    for number in range(headers[0] + 1, len(lines)):
        if not lines[number].strip():
            continue
        fields = lines[number].split()
        try:
            frame, x, y, width, height = int(fields[0]), *(float(value) for value in fields[1:5])
        except (ValueError, IndexError):
            raise ValueError(f"line {number + 1} is not FRAME X Y W H") from None
        if not 0 <= frame <= _MAX_FRAME:
            raise ValueError(f"line {number + 1} has no frame number of a video")
        rows.append((frame, x, y, x + width, y + height))
    if not rows:
        raise ValueError("no frame")
    start, stop = min(row[0] for row in rows), max(row[0] for row in rows) + 1
    box: Box4 | None = None
    if all(0 <= value <= _MAX_SHARE for row in rows for value in row[1:]):
        left, top, right, bottom = (sorted(row[i] for row in rows)[len(rows) // 2] for i in range(1, 5))
        box = (left, top, right, bottom)
    return Origin(id=youtube_id, start_s=start / FRAMES_PER_SECOND, stop_s=stop / FRAMES_PER_SECOND, box=box)
