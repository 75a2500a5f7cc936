"""The sound of whole files, VIDEO.mp4 or VIDEO.wav, on the frames that labels count. S samples at 16 kHz, N frames."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import torch
from avf_shards.errors import FaultError, UserError
from avf_shards.system.storage_faults import open_plain, raise_machine_fault
from avf_shards.timeline import SAMPLE_RATE_HZ
from torch import Tensor

from avf_training.framewise.tracks.extraction import FootageStretch, TrackInput
from avf_training.framewise.tracks.identity import TrackSubject

_ENDINGS = frozenset((".mp4", ".avi", ".mkv", ".mov", ".webm", ".wav", ".flac", ".mp3", ".m4a", ".ogg"))
_MAX_SAMPLES = 6 * 3600 * SAMPLE_RATE_HZ  # six hours; what is longer is refused before memory is taken for it
_MAX_OFFSET_S = 3600.0  # between the starts of picture and sound
_NO_PROTOCOL = {"protocol_whitelist": "none"}  # FFmpeg opens no other file and no address that a file names


@dataclass(frozen=True, kw_only=True)
class SoundFootage:
    """The sound of a file from its first picture on."""

    wave_S: npt.NDArray[np.float32]
    rate: float  # frames a second

    @property
    def fps(self) -> float:
        return self.rate

    @property
    def frames(self) -> int:
        return max(1, math.ceil(len(self.wave_S) / SAMPLE_RATE_HZ * self.rate - 1e-6))

    def pictures(self, size_px: int, device: torch.device) -> Iterator[Tensor]:
        raise FaultError("sound has no pictures")

    def wave(self) -> npt.NDArray[np.float32]:
        return self.wave_S


def sound_inputs(
    folder: Path, source: str, fps_of: Callable[[str], float], on_fault: Callable[[str], None]
) -> Iterator[TrackInput]:
    """Yield an input for each file with sound in `folder` and below, by name; the name without ending is the video's.

    Raises UserError where there is none. Arguments as of `picture_inputs`.
    """
    files = sorted(each for each in folder.rglob("*") if each.suffix.lower() in _ENDINGS and each.is_file())
    if not files:
        raise UserError(f"{folder}: holds no file of video or sound ({', '.join(sorted(_ENDINGS))})")
    seen: dict[str, Path] = {}
    for file in files:
        other = seen.setdefault(file.stem, file)
        if other != file:
            on_fault(f"{file}: is the video {file.stem}, as {other} is; leave one of them")
            continue
        try:
            fps = fps_of(file.stem)
        except UserError as error:
            on_fault(str(error))
            continue
        yield TrackInput(
            subject=TrackSubject(source=source, video_id=file.stem),
            fps=fps,
            inputs_sha256=hashlib.sha256(json.dumps([fps, file.name, file.stat().st_size]).encode()).hexdigest(),
            read=partial(_read_sound, file, fps),
        )


def decode_sound(path: Path) -> npt.NDArray[np.float32]:
    """Return the first stream of sound as mono at 16 kHz in -1..1, (S,), from the first picture of the file on.

    Sound that begins later than the picture has zeros before it. Raises FaultError, which names the file.
    """
    try:
        with (
            open(path, "rb", opener=open_plain) as file,
            av.open(file, "r", options=_NO_PROTOCOL) as container,
        ):
            stream = next(iter(container.streams.audio), None)
            if stream is None:
                raise FaultError(f"{path}: has no sound")
            offset = round(_start_s(container) * SAMPLE_RATE_HZ)
            resampler = av.AudioResampler(format="fltp", rate=SAMPLE_RATE_HZ)
            parts = [np.zeros(max(0, offset), np.float32)]
            total = 0
            for decoded in chain(container.decode(stream), (None,)):
                for frame in resampler.resample(decoded):
                    parts.append(frame.to_ndarray().mean(0, dtype=np.float32))  # FFmpeg's own mix is louder
                    total += len(parts[-1])
                if total > _MAX_SAMPLES:
                    raise FaultError(f"{path}: has more than {_MAX_SAMPLES // SAMPLE_RATE_HZ // 3600} hours of sound")
    except (av.FFmpegError, ValueError, IndexError, OSError) as error:
        raise_machine_fault(error)
        raise FaultError(f"{path}: its sound does not decode ({error})") from None
    if not total:
        raise FaultError(f"{path}: its stream of sound is empty")
    return np.concatenate(parts)[max(0, -offset) :]


def _start_s(container: "av.container.InputContainer") -> float:
    """Return how many seconds after the first picture the sound begins; 0 without a picture, or where it is absurd."""
    starts = [
        float(stream.start_time * stream.time_base)
        for stream in (*container.streams.video[:1], *container.streams.audio[:1])
        if stream.start_time is not None and stream.time_base is not None
    ]
    offset_s = starts[1] - starts[0] if len(starts) == 2 else 0.0
    return offset_s if abs(offset_s) <= _MAX_OFFSET_S else 0.0


def _read_sound(file: Path, fps: float) -> Iterator[FootageStretch]:
    footage = SoundFootage(wave_S=decode_sound(file), rate=fps)
    rows_N = np.arange(footage.frames, dtype=np.int64)
    yield FootageStretch(footage=footage, frames_N=rows_N + 1, times_s_N=rows_N / fps)
