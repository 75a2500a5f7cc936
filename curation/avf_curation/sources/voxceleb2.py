"""VoxCeleb2: dev/{mp4,aac,txt}/idXXXXX/YOUTUBE_ID/NNNNN.{mp4,m4a,txt}; face crops, one talking face each.

The paper trains on dev alone. The mp4 carries sound, but in some files it is missing or of another length than the
picture: then the sibling in aac/ stands in. txt/ holds the owners' face track in the YouTube film.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from avf_shards.timeline import FRAMES_PER_SECOND

from avf_curation.inputs import Box4, Origin, SetAside, Video
from avf_curation.sources.listing import Found, Listing

OWNERS_COUNT = 1_092_009
LAYOUT = "dev/mp4/id00012/21Uxsk56VDQ/00001.mp4, dev/aac/.../00001.m4a, dev/txt/.../00001.txt (aac and txt may lack)"
_TRACK_BYTES = 10_000_000  # ten thousand times what a track takes; files from outside may be anything
_SPEAKER, _FILM = r"id\d{5}", r"[A-Za-z0-9_-]{11}"


def read(root: Path, aside: list[SetAside]) -> Iterator[Video]:
    """The clips of dev, or of `root` itself where it is one split. Raises UserError for another layout."""
    listing = Listing("voxceleb2", root, aside)
    base = listing.base("dev", "mp4")
    if base and listing.has("test"):
        listing.note("left_out", "test", "the test split; to read it name it as the source's folder")
    for speaker in listing.entries(f"{base}mp4", _SPEAKER, "speaker (id and five digits)"):
        for film in listing.entries(speaker.path, _FILM, "YouTube id (11 characters)"):
            yield from _film(listing, base, speaker.name, film)
    yield from _without_picture(listing, base)


def _film(listing: Listing, base: str, speaker: str, film: Found) -> Iterator[Video]:
    parent = f"{speaker}/{film.name}"
    sounds = listing.by_stem(f"{base}aac/{parent}", r"\d{5}\.(m4a|wav)", "sound file")
    tracks = listing.by_stem(f"{base}txt/{parent}", r"\d{5}\.txt", "face track")
    clips = listing.by_stem(film.path, r"\d{5}\.mp4", "clip (five digits, mp4)")
    for stem, clip in clips.items():
        sound, track = sounds.pop(stem, None), tracks.pop(stem, None)
        yield Video(
            source=listing.source,
            video=f"{parent}/{stem}",
            parent=parent,
            path=clip.path,
            size_bytes=clip.size_bytes,
            mtime_ns=clip.mtime_ns,
            sound_path=sound.path if sound else None,
            own_sound_first=sound is not None,
            boxes_path=track.path if track else None,
            speaker=speaker,
            origin=Origin(film.name),
        )
    for left in (*sounds.values(), *tracks.values()):
        listing.note("missing", left.path, "the clip of this name is not in mp4/")


def _without_picture(listing: Listing, base: str) -> Iterator[Video]:
    """Notes what aac/ has for speakers and films that mp4/ lacks; yields nothing."""
    if listing.has(f"{base}aac"):
        for speaker in listing.entries(f"{base}aac", _SPEAKER, "speaker (id and five digits)"):
            for film in listing.entries(speaker.path, _FILM, "YouTube id (11 characters)"):
                if not listing.has(f"{base}mp4/{speaker.name}/{film.name}"):
                    listing.note("missing", film.path, "sound without clips: mp4/ has no such folder")
    yield from ()


def read_track(path: Path, film: str) -> Origin:
    """`face_track` of a txt file. Raises ValueError, OSError."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return face_track(file.read(_TRACK_BYTES), film)


def face_track(text: str, film: str) -> Origin:
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
    return Origin(film, start / FRAMES_PER_SECOND, stop / FRAMES_PER_SECOND, box)


def is_film(text: str) -> bool:
    """Whether `text` can be a YouTube id."""
    return re.fullmatch(_FILM, text) is not None
