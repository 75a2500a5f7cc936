"""What features in time are of: the sound of whole files, or clips of shards with a face. S samples."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from avf_shards.errors import UserError
from avf_shards.system.storage_faults import name_path, open_plain

from avf_training.data.storage import StorageConfig
from avf_training.framewise.tracks.footage import ClipFootage
from avf_training.framewise.tracks.sound_decoder import decode_sound
from avf_training.framewise.tracks.sound_files import find_sound_files
from avf_training.inference.video_clock import VideoClock
from avf_training.tasks.labelled_shards import LabelledShards

_PARTS, _PART_BYTES = 16, 1 << 16  # of a file that its digest is of: 1 MB, since videos are large


@dataclass(frozen=True, kw_only=True)
class Recording:
    """An input that has been read."""

    wave_S: npt.NDArray[np.float32]  # mono at 16 kHz, at its own level
    clip: dict[str, bytes] | None = None  # files of a clip by kind; None: there is no face


@dataclass(frozen=True, kw_only=True)
class FrameInput:
    """A file or a clip, not read yet."""

    name: str  # of its features below their folder, without ending
    input: str  # name of the file, or key of the clip
    input_sha256: str  # changes where the features would
    start_s: float  # when it begins, in seconds of the video that a clip was cut from; 0 of a file
    read: Callable[[], Recording]  # raises FaultError


def file_inputs(path: Path, on_fault: Callable[[str], None]) -> list[FrameInput]:
    """Return an input for a file of video or sound, or for each in a folder and below.

    Raises UserError where there is none. Of two files whose features would have one name `on_fault` gets a sentence,
    and the first counts.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; name a video, a sound file, a folder of them, or shards")
    files = find_sound_files(path) if path.is_dir() else [path]
    by_name: dict[str, Path] = {}
    for file in files:
        name = (file.relative_to(path) if path.is_dir() else Path(file.name)).with_suffix("").as_posix()
        other = by_name.setdefault(name, file)
        if other != file:
            on_fault(f"{file}: has the name of {other} but for the ending; leave one of them")
    return [
        FrameInput(
            name=name,
            input=file.name,
            input_sha256=_digest([file.name, file.stat().st_size, _digest_samples(file)]),
            start_s=0.0,
            read=partial(_read_file, file),
        )
        for name, file in by_name.items()
    ]


def clip_frame_inputs(shards: str, videos: Path | str | None = None) -> list[FrameInput]:
    """Return an input for each clip of shards. Raises UserError where there is none.

    Args:
        shards: a folder of shards or its address.
        videos: the input that the clips are of, whose files tell when their first picture is shown; None: at 0.
    """
    reader, clock = LabelledShards([shards], StorageConfig()), VideoClock(videos)
    inputs = [
        FrameInput(
            name=record.key,
            input=record.key,
            input_sha256=_digest([record.key, record.input_sha256, record.fingerprint]),
            start_s=clock.clip_start_s(record),
            read=partial(_read_clip, reader, index),
        )
        for index, record in reader.records()
    ]
    if not inputs:
        raise UserError(f"{shards}: no clip in these shards")
    return inputs


def _digest_samples(file: Path) -> str:
    """Return the SHA-256 of parts of a file, spread evenly over it; recordings of one length have one size."""
    digest, size = hashlib.sha256(), file.stat().st_size
    with open(file, "rb", opener=open_plain) as data, name_path(file):
        for number in range(_PARTS):
            data.seek(max(0, size - _PART_BYTES) * number // (_PARTS - 1))
            digest.update(data.read(_PART_BYTES))
    return digest.hexdigest()


def _read_file(file: Path) -> Recording:
    return Recording(wave_S=decode_sound(file))


def _read_clip(reader: LabelledShards, index: int) -> Recording:
    files = reader.read(index)
    return Recording(wave_S=ClipFootage(files=files).wave(), clip=files)


def _digest(values: list[object]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()
