"""The key of a clip: source, 12 hex digits of the hash of the video id, start frame, stop frame, track.

A key has no dot and is safe as a file name.
"""

import hashlib
import re

from avf_shards.errors import UserError
from avf_shards.timeline import Span

_SOURCE = re.compile(r"[a-z0-9][a-z0-9_]{0,39}")
_KEY = re.compile(r"[a-z0-9][a-z0-9_]{0,39}-[0-9a-f]{12}-\d{7,}-\d{7,}-\d+")


def make_clip_key(source: str, video: str, span: Span, track: int) -> str:
    """Return a key as `voxceleb2-0a1b2c3d4e5f-0000000-0000200-0`; keys of one video sort by time."""
    digest = hashlib.sha256(video.encode()).hexdigest()[:12]
    return f"{source}-{digest}-{span.start_frame:07d}-{span.stop_frame:07d}-{track}"


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
