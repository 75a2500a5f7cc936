"""One stored clip, decoded for one window.

Shapes: T frames, Q = 3H / 2 rows of planes, W width, S samples.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from avf_shards.schema.clip_record import ClipRecord

from avf_training.data.decode import Planes, Samples, StoredAudio, decode_jpeg_planes, decode_planes


class SampledParams(Protocol):
    """Parameters sampled for a clip: the frames that the model sees, and the frame with which the audio starts."""

    @property
    def frames(self) -> Sequence[int]: ...
    @property
    def start_frame(self) -> int: ...


D = TypeVar("D", bound=SampledParams)


@dataclass(frozen=True, kw_only=True)
class Clip(Generic[D]):
    """The decoded window of one clip."""

    planes_TQW: Planes  # uint8
    full_range: bool  # full-range planes (JPEG), else limited range (H.264)
    waveform_S: Samples  # int16, 16 kHz mono; shorter than the window where the clip ends
    params: D  # what the stage sampled for the clip
    record: ClipRecord | None  # None if the reader leaves records out


def decode_clip(
    files: Mapping[str, bytes],
    sample: Callable[[int, ClipRecord | None], D],
    audio_frames: int,
    into: Planes | None = None,
) -> Clip[D]:
    """Decode the window of a clip that `sample` chooses.

    Args:
        files: bytes of the clip by extension.
        sample: returns the parameters for a clip of the given number of frames, with its record if there is one.
        audio_frames: length of the audio, in video frames.
        into: an array for the planes, used if it has their shape.

    Raises:
        FaultError: the video, the audio or the record cannot be read.
    """
    audio = StoredAudio(files["flac"])
    record = ClipRecord.from_json(files["json"], "a clip") if "json" in files else None
    params = sample(audio.frames, record)
    if "mp4" in files:
        planes_TQW = decode_planes(files["mp4"], params.frames, into)
    else:
        planes_TQW = decode_jpeg_planes(files["frames"], params.frames, into)
    return Clip(
        planes_TQW=planes_TQW,
        full_range="mp4" not in files,
        waveform_S=audio.read(params.start_frame, audio_frames),
        params=params,
        record=record,
    )
