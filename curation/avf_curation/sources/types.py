"""An input of a run, as the plan knows it by name and stat; and what lies under a source that is no input."""

import hashlib
import os
from dataclasses import dataclass
from typing import Literal

from avf_shards.schema.labels import Labels, Origin

Side = Literal["left", "right"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """One input: a stable id inside its source, where it lies under the source's folder, what stat says of it.

    `path` may hold bytes that are no UTF-8, as Python's file names do; `video_id` never does. start_s, stop_s: the
    range of the file that is the video (None: all of it). sound_path: a second file with the sound; `own_sound_first`:
    only where the file's own is missing or of another length. boxes_path: the owners' face track, for `origin`. side:
    the half of the picture that the person is in, where two films lie side by side.
    """

    source: str
    video_id: str
    group_id: str
    path: str
    size_bytes: int
    mtime_ns: int
    sound_path: str | None = None
    own_sound_first: bool = False
    boxes_path: str | None = None
    start_s: float | None = None
    stop_s: float | None = None
    speaker: str | None = None
    language: str | None = None
    origin: Origin | None = None
    labels: Labels | None = None
    side: Side | None = None


@dataclass(frozen=True, kw_only=True)
class SkippedInput:
    """Something of a source that is no input, counted and listed.

    kind: hidden, unexpected, excluded, packed (an archive), missing (listed but not there), unlisted (there but not
    listed), duplicate, bad_row.
    """

    source: str
    path: str
    reason: str
    kind: str = "unexpected"


def is_readable(path: str) -> str:
    """A file name as text that is UTF-8 and unique; names that are no UTF-8 get their bytes' hash behind them."""
    raw = os.fsencode(path)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return f"{raw.decode('utf-8', 'backslashreplace')}~{hashlib.sha256(raw).hexdigest()[:8]}"
