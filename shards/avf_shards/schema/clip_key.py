"""The key of a clip: source, 32 hex digits of the hash of the video id, start frame, stop frame, track.

A key has no dot and is safe as a file name. Older shards have keys of 12 hex digits: two ids with
the same 48 bits can be found in half a minute, and with 128 bits they cannot. Both are read; 32 digits are written.
"""

import hashlib
import re

from avf_shards.errors import UserError
from avf_shards.timeline import Span

KEY_TAIL = r"(?:[0-9a-f]{20})?[0-9a-f]{12}-\d{7,}-\d{7,}-\d+"  # a pattern of the key after its source
_SOURCE = re.compile(r"[a-z0-9][a-z0-9_]{0,39}")
_KEY = re.compile(rf"{_SOURCE.pattern}-{KEY_TAIL}")


def make_clip_key(source: str, video: str, span: Span, track: int) -> str:
    """Return a key as `voxceleb2-0123456789abcdef0123456789abcdef-0000000-0000200-0`; keys of a video sort by time."""
    return f"{make_video_prefix(source, video)}-{span.start_frame:07d}-{span.stop_frame:07d}-{track}"


def make_video_prefix(source: str, video: str) -> str:
    """Return how the key of each clip of a video begins."""
    return f"{source}-{_video_digest(video)}"


def video_prefixes(source: str, video: str) -> frozenset[str]:
    """Return the beginnings that a key of a video can have: as they are written, and as they were in older shards."""
    return frozenset({make_video_prefix(source, video), f"{source}-{_video_digest(video)[:12]}"})


def video_prefix(key: str) -> str:
    """Return the beginning of a key that all clips of its video share."""
    return "-".join(key.split("-", 2)[:2])


def key_source(key: str) -> str:
    """Return the source in a key."""
    return key.partition("-")[0]


def key_frames(key: str) -> tuple[int, int]:
    """Return the first frame of a key's clip, and the frame after its last, in its video at 25 fps."""
    _, _, start, stop, _ = key.split("-")
    return int(start), int(stop)


def _video_digest(video: str) -> str:
    return hashlib.sha256(video.encode()).hexdigest()[:32]


def is_key(text: str) -> bool:
    """Return whether `text` has the form of a key. Check names from an archive with it before they are used."""
    return _KEY.fullmatch(text) is not None


def check_source_name(name: str) -> str:
    """Return `name` if it can name a source. Raises UserError."""
    if not _SOURCE.fullmatch(name):
        raise UserError(
            f"source name {name!r}: use 1 to 40 lower-case letters, digits and '_' (it is part of each clip's key)"
        )
    return name
