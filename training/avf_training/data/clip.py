"""One stored clip, decoded for one window. Shapes: T frames, R = 3H / 2 rows of planes, W width, S samples."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from avf_shards.errors import FaultError

from avf_training.data.decode import Planes, Samples, StoredSound, jpeg_planes, planes


class SampledParams(Protocol):
    """What was drawn for a clip. frames: the pictures it shows; its sound starts with frame start_frame."""

    @property
    def frames(self) -> Sequence[int]: ...
    @property
    def start_frame(self) -> int: ...


D = TypeVar("D", bound=SampledParams)


@dataclass(frozen=True, kw_only=True)
class Clip(Generic[D]):
    """planes_TRW: uint8, of full range (JPEG) or limited (H.264); sound_S: int16, shorter where the clip ends."""

    planes_TRW: Planes
    full_range: bool
    sound_S: Samples
    draw: D
    record: dict[str, Any]


def decode_clip(
    files: Mapping[str, bytes], draw: Callable[[int], D], sound_frames: int, into: Planes | None = None
) -> Clip[D]:
    """The window of a clip that `draw` chooses, told how many frames it has. Raises FaultError.

    into: where its planes go, if they fit.
    """
    sound = StoredSound(files["flac"])
    drawn = draw(sound.frames)
    if "mp4" in files:
        pictures = planes(files["mp4"], drawn.frames, into)
    else:
        pictures = jpeg_planes(files["frames"], drawn.frames, into)
    heard = sound.cut(drawn.start_frame, sound_frames)
    return Clip(
        planes_TRW=pictures,
        full_range="mp4" not in files,
        sound_S=heard,
        draw=drawn,
        record=_record(files["json"]) if "json" in files else {},
    )


def _record(data: bytes) -> dict[str, Any]:
    try:
        values = json.loads(data)
    except ValueError as error:
        raise FaultError(f"the record is not JSON ({error})") from None
    if not isinstance(values, dict):
        raise FaultError("the record is not a table")
    return values
