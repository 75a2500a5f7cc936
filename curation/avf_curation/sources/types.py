"""The inputs of a run, known by name, size and time before any is decoded, and the files that are no input."""

import hashlib
import os
from dataclasses import dataclass
from typing import Literal

from avf_shards.format.picture_record import Subset
from avf_shards.schema.labels import Box4, Labels, Origin

Side = Literal["left", "right"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPosition:
    """Where a picture lies in a file of many."""

    key: int  # of the record
    position: int  # of the record in the file, in bytes
    file_bytes: int  # size of the file


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnersFaces:
    """What the owners' detector says of the faces of a picture, in its own unit; more is surer."""

    score: float | None  # of the face; None: it saw none
    second_score: float | None  # of a second face; None: it saw no second one


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureInput:
    """What is known of an input that is a face picture, beside what every input has."""

    packed: RecordPosition | None = None  # None: the file is the picture
    subset: Subset | None = None  # of the owners' split
    box_px: Box4 | None = None  # the owners' face as (left, top, right, bottom), in pixels of their picture
    owners_faces: OwnersFaces | None = None  # None: the owners do not say


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """One input of a run: a video file, a range of a file that counts as one video, or a face picture."""

    source: str  # name of the source, as in --source NAME=DIR
    video_id: str  # stable and unique inside its source; always valid UTF-8
    group_id: str  # recording or session that the video belongs to; a group is never split over units
    path: str  # below the source's folder; may hold bytes that are no UTF-8, as Python's file names do
    size_bytes: int  # 0 where the file cannot be read
    mtime_ns: int  # time of the last change, in nanoseconds since 1970; 0 where the file cannot be read
    sound_path: str | None = None  # a second file, which holds the audio
    own_sound_first: bool = False  # use `sound_path` only where the file's own audio is missing or of another length
    boxes_path: str | None = None  # the owners' face track, a hint for `origin`
    start_s: float | None = None  # range of the file that is the video; None: from the start
    stop_s: float | None = None  # None: to the end
    speaker: str | None = None  # id that the corpus gives the person
    language: str | None = None  # code, as "en"
    origin: Origin | None = None  # video, range and box from which the owners cut the file
    labels: Labels | None = None  # of a labelled corpus
    side: Side | None = None  # part of the image that shows the person, where two persons are side by side
    side_share: float = 0.5  # share of the image's width that the left part has
    #: None: a video. A picture in a file of many has its own size, and the time of that file.
    picture: PictureInput | None = None

    def __post_init__(self) -> None:
        if self.start_s is not None and self.labels is not None and self.labels.frames:
            raise ValueError(f"{self.video_id}: labels of frames count from the start of a file, not of a range of it")


@dataclass(frozen=True, kw_only=True)
class SkippedInput:
    """A file or a row of a source that is no input; the plan counts and lists it."""

    source: str  # name of the source
    path: str  # file, or table and row
    reason: str  # words for people
    #: hidden, unexpected, not_media (no video or audio), excluded (by protocol, plan.include or plan.exclude), packed
    #: (an archive), unreadable (a folder that cannot be listed, or a file whose size or kind cannot be told), missing
    #: (listed, but no such file), unlisted (a file that no list names), duplicate, bad_row or outside (a link that
    #: leads out of the corpus)
    kind: str = "unexpected"


def utf8_name(path: str) -> str:
    """Return a file name as unique, valid UTF-8 text; a name that is no UTF-8 ends with a hash of its bytes."""
    raw = os.fsencode(path)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return f"{raw.decode('utf-8', 'backslashreplace')}~{hashlib.sha256(raw).hexdigest()[:8]}"
