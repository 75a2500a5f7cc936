"""The sound of whole files, VIDEO.mp4 or VIDEO.wav, on the frames that labels count. S samples at 16 kHz, N frames."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from avf_shards.errors import FaultError, UserError
from avf_shards.timeline import SAMPLE_RATE_HZ
from torch import Tensor

from avf_training.framewise.tracks.footage import PreparePictures
from avf_training.framewise.tracks.identity import TrackSubject
from avf_training.framewise.tracks.sound_decoder import decode_sound
from avf_training.framewise.tracks.track_input import FootageStretch, TrackInput
from avf_training.framewise.tracks.vocal_separator import VocalSeparator

_ENDINGS = frozenset((".mp4", ".avi", ".mkv", ".mov", ".webm", ".wav", ".flac", ".mp3", ".m4a", ".ogg"))


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

    def preparations(self, size_px: int, *, pinned: bool) -> Iterator[PreparePictures]:
        raise FaultError("sound has no pictures")

    def wave(self) -> npt.NDArray[np.float32]:
        return self.wave_S


def list_sound_files(folder: Path, on_fault: Callable[[str], None]) -> dict[str, Path]:
    """Return the files with sound in `folder` and below by their video, the name without ending.

    Raises UserError where there is none. Of two files of one video `on_fault` gets a sentence, and the first counts.
    """
    by_video: dict[str, Path] = {}
    for file in find_sound_files(folder):
        other = by_video.setdefault(file.stem, file)
        if other != file:
            on_fault(f"{file}: is the video {file.stem}, as {other} is; leave one of them")
    return by_video


def name_sound_files(folder: Path, on_fault: Callable[[str], None]) -> dict[str, Path]:
    """Return the files with sound in `folder` and below by every name that labels may have for their video.

    That is the path below the folder, as `anna/talk.mp4`, and, where no other folder has it too, the name without
    ending. Raises UserError where there is no file; `on_fault` as of `list_sound_files`, of files in one folder.
    """
    names = {file.relative_to(folder).as_posix(): file for file in find_sound_files(folder)}
    folders: dict[str, set[Path]] = {}
    for file in names.values():
        folders.setdefault(file.stem, set()).add(file.parent)
    for file in list(names.values()):
        if len(folders[file.stem]) > 1:
            continue
        other = names.setdefault(file.stem, file)
        if other != file:
            on_fault(f"{file}: is the video {file.stem}, as {other} is; leave one of them")
    return names


def find_sound_files(folder: Path) -> list[Path]:
    """Return the files with sound in `folder` and below, sorted. Raises UserError where there is none."""
    files = sorted(each for each in folder.rglob("*") if each.suffix.lower() in _ENDINGS and each.is_file())
    if not files:
        raise UserError(f"{folder}: holds no file of video or sound ({', '.join(sorted(_ENDINGS))})")
    return files


def sound_inputs(
    folder: Path,
    source: str,
    fps_of: Callable[[str], float],
    on_fault: Callable[[str], None],
    separator: VocalSeparator | None = None,
) -> Iterator[TrackInput]:
    """Yield an input for each file with sound in `folder` and below, by name; the name without ending is the video's.

    Raises UserError where there is none. Arguments as of `picture_inputs`; `separator` leaves the voice alone.
    """
    for file in list_sound_files(folder, on_fault).values():
        try:
            fps = fps_of(file.stem)
        except UserError as error:
            on_fault(str(error))
            continue
        yield TrackInput(
            subject=TrackSubject(source=source, video_id=file.stem),
            fps=fps,
            inputs_sha256=hashlib.sha256(json.dumps([fps, file.name, file.stat().st_size]).encode()).hexdigest(),
            noun="file",
            read=partial(_read_sound, file, fps, separator),
        )


def _read_sound(file: Path, fps: float, separator: VocalSeparator | None) -> Iterator[FootageStretch]:
    wave_S = decode_sound(file) if separator is None else separator.decode_voice(file)
    footage = SoundFootage(wave_S=wave_S, rate=fps)
    rows_N = np.arange(footage.frames, dtype=np.int64)
    yield FootageStretch(footage=footage, frames_N=rows_N + 1, times_s_N=rows_N / fps)
