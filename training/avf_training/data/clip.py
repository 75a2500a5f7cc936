"""One stored clip, decoded for one window. Shapes: T frames, R = 3H / 2 rows of planes, W width, S samples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from avf_shards.schema.clip_record import ClipRecord

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
    record: ClipRecord | None  # None where the reader leaves records out


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
        record=ClipRecord.from_json(files["json"], "a clip") if "json" in files else None,
    )
