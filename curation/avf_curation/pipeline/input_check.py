"""An input on disk: that it is the one that was planned, its digest, its range, whose sound it takes."""

import hashlib
import os
from functools import lru_cache
from pathlib import Path

from avf_shards.schema.labels import Origin
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_curation.media.image_files import list_images
from avf_curation.media.types import MediaError, TimeRange, VideoTrack
from avf_curation.sources.face_track import read_face_track
from avf_curation.sources.types import Video

_OWN_SOUND_S = 0.1  # VoxCeleb2: 145 clips have sound that is longer or shorter than the picture by more


def check_unchanged(video: Video, path: Path) -> None:
    """Raise MediaError when the file is not the one that was planned."""
    if _stat(path) != (video.size_bytes, video.mtime_ns):
        if video.mtime_ns == 0 and video.size_bytes == 0:
            raise MediaError("unreadable", "could not be read when the plan was made")
        raise MediaError("input_changed", "size or time of the file changed after the plan was made")


def input_digest(path: Path, sound_path: Path | None, within: TimeRange | None = None) -> str:
    """SHA-256 of the file; of both files' digests where the sound lies in a second one, and of the range in it."""
    digests = []
    for one in (path, sound_path):
        if one is not None:
            digests.append(_file_digest(one, *_stat(one)))
    if within is not None:
        digests.append(f"{within.start_s!r}-{within.stop_s!r}")
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _stat(path: Path) -> tuple[int, int]:
    """Size and time of a file, or of the pictures in a folder. Raises OSError."""
    if path.is_dir():
        pictures = list_images(path)
        return pictures.size_bytes, pictures.mtime_ns
    stat = os.stat(path)
    return stat.st_size, stat.st_mtime_ns


@lru_cache(maxsize=8)  # a film of which many ranges are inputs is read once: they are of one unit
def _file_digest(path: Path, size_bytes: int, mtime_ns: int) -> str:
    if path.is_dir():
        digest = hashlib.sha256()
        for name in list_images(path).names:
            digest.update(hashlib.sha256((path / name).read_bytes()).digest())
        return digest.hexdigest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def time_range(video: Video) -> TimeRange | None:
    """The part of its file that is the video; None: all of it."""
    if video.start_s is None or video.stop_s is None:
        return None
    return TimeRange(video.start_s, video.stop_s)


def separate_audio(video: Video, root: Path) -> Path | None:
    """The second file with the sound, if there is one."""
    return None if video.sound_path is None else root / video.sound_path


def audio_covers_video(sound_s: float | None, picture: VideoTrack) -> bool:
    """Whether a file's own sound is there and as long as its picture, within what some corpora are off by."""
    return sound_s is not None and abs(sound_s - picture.frames / FRAMES_PER_SECOND) <= _OWN_SOUND_S


def read_origin(video: Video, root: Path) -> Origin | None:
    """Where the owners say the video was cut from; with their face track, where they give one that can be read."""
    if video.origin is None or video.boxes_path is None:
        return video.origin
    try:
        return read_face_track(root / video.boxes_path, video.origin.id)
    except (OSError, ValueError):  # `sources check` lists them; a hint is not worth a clip
        return video.origin
