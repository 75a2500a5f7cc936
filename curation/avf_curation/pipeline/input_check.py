"""Check an input on disk against the plan, and answer where its bytes, its range and its audio are."""

import hashlib
import os
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from avf_shards.schema.labels import Origin
from avf_shards.system.storage_faults import is_machine_fault, open_plain, read_bytes, retry_read
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_curation.media.image_files import list_images
from avf_curation.media.types import MediaError, TimeRange, VideoTrack
from avf_curation.pipeline.failures import StorageError, machine_fault
from avf_curation.sources.face_track import read_face_track
from avf_curation.sources.pictures.mxnet_records import RecordError, RecordFile
from avf_curation.sources.types import Video

_MAX_PICTURE_BYTES = 256_000_000  # of a file; 67 million pixels of TIFF are 201 MB
_MAX_AUDIO_DIFFERENCE_S = 0.1  # VoxCeleb2: 145 clips have audio that is longer or shorter than the video by more


def check_unchanged(video: Video, path: Path, *, after_reading: bool = False) -> None:
    """Raise MediaError if the file is not the same as when the plan was made. Raises OSError where it is not there.

    Args:
        after_reading: the file was the same when reading began, so that it changed while it was read.
    """
    if size_and_time(path) != _planned_stat(video):
        since = "while it was read" if after_reading else "after the plan was made"
        raise MediaError("input_changed", f"size or time of the file changed {since}")


def _planned_stat(video: Video) -> tuple[int, int]:
    """Return size and time of the file of an input when it was planned."""
    packed = None if video.picture is None else video.picture.packed
    return (video.size_bytes if packed is None else packed.file_bytes), video.mtime_ns


def with_stat(video: Video, stat: tuple[int, int]) -> Video:
    """Return the input with another size and time of its file."""
    size_bytes, mtime_ns = stat
    if video.picture is None or video.picture.packed is None:
        return replace(video, size_bytes=size_bytes, mtime_ns=mtime_ns)
    packed = replace(video.picture.packed, file_bytes=size_bytes)
    return replace(video, mtime_ns=mtime_ns, picture=replace(video.picture, packed=packed))


def read_picture_bytes(video: Video, root: Path) -> bytes:
    """Return the bytes of an input that is a picture. Raises MediaError, and OSError."""
    path, packed = root / video.path, None if video.picture is None else video.picture.packed
    if packed is not None:

        def read() -> bytes:
            with RecordFile(path) as file:
                return file.read_picture(packed.position)

        try:
            return retry_read(read, path)
        except RecordError as error:
            raise MediaError("not_media", f"record {packed.key}: {error}") from None
    data = read_bytes(path, _MAX_PICTURE_BYTES + 1)
    if len(data) > _MAX_PICTURE_BYTES:
        raise MediaError("not_media", f"more than {_MAX_PICTURE_BYTES:,} bytes, which no picture has")
    return data


def stat_sound(video: Video, root: Path) -> tuple[int, int] | None:
    """Return size and time of the second file with the sound; None where there is none. Raises OSError."""
    path = find_separate_audio(video, root)
    return None if path is None else size_and_time(path)


def check_still_unchanged(video: Video, root: Path, sound_stat: tuple[int, int] | None) -> None:
    """Raise MediaError if the picture's or the sound's file changed while it was read. Raises OSError.

    Args:
        sound_stat: what `stat_sound` returned before the first read; None where that is not known.
    """
    check_unchanged(video, root / video.path, after_reading=True)
    if sound_stat is not None and stat_sound(video, root) != sound_stat:
        raise MediaError("input_changed", "size or time of the sound file changed while it was read")


def input_digest(path: Path, audio_path: Path | None, time_range: TimeRange | None = None) -> str:
    """Return the SHA-256 of an input in hex.

    It is the digest of the file; where the audio is in a second file, or the input is a range of the file, it is the
    digest of the two files' digests and of the range. Raises OSError.
    """
    digests = [_file_digest(file, *size_and_time(file)) for file in (path, audio_path) if file is not None]
    if time_range is not None:
        digests.append(f"{time_range.start_s!r}-{time_range.stop_s!r}")
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def input_paths(video: Video, root: Path) -> list[Path]:
    """Return every file or folder of an input: the picture, a separate sound file, the owners' face track."""
    return [root / path for path in (video.path, video.sound_path, video.boxes_path) if path is not None]


def is_about_input(error: OSError, video: Video, root: Path) -> bool:
    """Return whether an error is about a file or folder of an input, and not about one of the program or the system."""
    if error.filename is None:
        return False
    return any(Path(os.fsdecode(error.filename)).is_relative_to(path) for path in input_paths(video, root))


def read_all_bytes(video: Video, root: Path) -> None:
    """Read picture and sound of an input once. Raises StorageError; a file that is gone passes."""
    try:
        if video.picture is not None:
            with suppress(MediaError):  # says something of the file, which its stages report
                read_picture_bytes(video, root)
            return
        input_digest(root / video.path, find_separate_audio(video, root))
    except OSError as error:
        if is_machine_fault(error):
            raise machine_fault(error) from error


def whole_file_digest(video: Video, root: Path) -> str | None:
    """Return the `input_digest` of the files that a video is a range of; None for whole files. Raises OSError."""
    if find_time_range(video) is None:
        return None
    return input_digest(root / video.path, find_separate_audio(video, root))


def file_digests(video: Video, root: Path) -> tuple[str, ...]:
    """Return the `input_digest` of a video, then those of its files, together and each. Raises OSError."""
    if video.picture is not None:
        try:
            return (hashlib.sha256(read_picture_bytes(video, root)).hexdigest(),)
        except MediaError:
            return ()
    path, audio_path = root / video.path, find_separate_audio(video, root)
    files = [_file_digest(file, *size_and_time(file)) for file in (path, audio_path) if file is not None]
    digests = (input_digest(path, audio_path, find_time_range(video)), input_digest(path, audio_path), *files)
    return tuple(dict.fromkeys(digests))


def size_and_time(path: Path) -> tuple[int, int]:
    """Return size and modification time in nanoseconds of a file or of a folder of images. Raises OSError."""
    if retry_read(path.is_dir, path):
        images = retry_read(lambda: list_images(path), path)
        return images.size_bytes, images.mtime_ns
    stat = retry_read(lambda: os.stat(path), path)
    return stat.st_size, stat.st_mtime_ns


# The ranges of one file are inputs of the same unit, one after another: the cache saves reading the file for each.
@lru_cache(maxsize=8)
def _file_digest(path: Path, size_bytes: int, mtime_ns: int) -> str:
    if path.is_dir():
        digest = hashlib.sha256()
        for name in list_images(path).names:
            digest.update(hashlib.sha256(read_bytes(path / name)).digest())
        return digest.hexdigest()

    def read() -> str:
        with open(path, "rb", opener=open_plain) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    return retry_read(read, path)


def check_source_is_there(source: str, root: Path) -> None:
    """Raise StorageError for a source whose folder is gone or empty: then a missing file says nothing about itself.

    The folder of a file system that is not mounted is there, and empty.
    """
    try:
        with os.scandir(root) as entries:
            is_there = any(True for _ in entries)
    except OSError:
        is_there = False
    if not is_there:
        raise StorageError(f"{root}: the folder of source {source} is empty or gone; mount it, or give the right one")


def find_time_range(video: Video) -> TimeRange | None:
    """Return the part of its file that is the input, or None for the whole file."""
    if video.start_s is None or video.stop_s is None:
        return None
    return TimeRange(video.start_s, video.stop_s)


def find_separate_audio(video: Video, root: Path) -> Path | None:
    """Return the path of the second file with the audio, or None where there is no second file."""
    return None if video.sound_path is None else root / video.sound_path


def audio_covers_video(audio_s: float | None, video_track: VideoTrack) -> bool:
    """Return whether a file has audio of its own that is as long as its video, to a tenth of a second."""
    if audio_s is None:
        return False
    return abs(audio_s - video_track.frames / FRAMES_PER_SECOND) <= _MAX_AUDIO_DIFFERENCE_S


def read_origin(video: Video, root: Path) -> Origin | None:
    """Return where the owners cut the input from, with their face track if there is one that can be read.

    Raises StorageError.
    """
    if video.origin is None or video.boxes_path is None:
        return video.origin
    try:
        return read_face_track(root / video.boxes_path, video.origin.id)
    except (OSError, ValueError) as error:  # `sources check` lists such tracks; a clip must not fail for lack of a hint
        if is_machine_fault(error):
            raise machine_fault(error) from error
        return video.origin
