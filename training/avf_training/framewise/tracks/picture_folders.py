"""Folders of numbered face pictures, VIDEO/00001.jpg, as owners of frame-level corpora give them.

The name of a picture is the number of its frame; frames without a face have no picture, and no row in the track.
Shapes: N pictures, H W height and width, P side of the network's input, B pictures of a batch.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from avf_shards.errors import FaultError, UserError
from avf_shards.system.storage_faults import raise_machine_fault, read_bytes
from avf_shards.text import count_noun
from torch import Tensor

from avf_training.data.picture import decode_rgb
from avf_training.distributed.environment import log_of_rank_0
from avf_training.framewise.csv_tables import read_csv_rows
from avf_training.framewise.models.static_input import letterbox
from avf_training.framewise.tracks.footage import BATCH_PICTURES, PreparePictures, normalize_pictures
from avf_training.framewise.tracks.frame_rates import is_frame_rate
from avf_training.framewise.tracks.identity import TrackSubject
from avf_training.framewise.tracks.track_input import FootageStretch, TrackInput

log = log_of_rank_0(__name__)
_ENDINGS = (".jpg", ".jpeg", ".png")
_MAX_NAMED = 3  # pictures in a message
_PICTURE = re.compile(r"(\d{1,9})\.(?:jpg|jpeg|png)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class PictureFootage:
    """The pictures of one video."""

    files: tuple[Path, ...]  # in the order of their numbers
    fps: float

    @property
    def frames(self) -> int:
        return len(self.files)

    def pictures(self, size_px: int, device: torch.device) -> Iterator[Tensor]:
        for prepare in self.preparations(size_px, pinned=False):
            yield from prepare().batches(size_px, device)

    def preparations(self, size_px: int, *, pinned: bool) -> Iterator[PreparePictures]:
        for first in range(0, len(self.files), BATCH_PICTURES):
            yield partial(_decode_batch, self.files[first : first + BATCH_PICTURES], size_px, pinned=pinned)

    def wave(self) -> npt.NDArray[np.float32]:
        raise FaultError("pictures have no sound")


@dataclass(frozen=True, kw_only=True)
class FittedPictures:
    """Pictures on black squares, 8 bits: a quarter of the bytes that the network's input has."""

    pictures_BPP3: Tensor

    def batches(self, size_px: int, device: torch.device) -> Iterator[Tensor]:
        """Yield the one batch, (B, 3, P, P)."""
        assert self.pictures_BPP3.shape[1] == size_px
        pixels_3BPP = self.pictures_BPP3.to(device, non_blocking=True).permute(3, 0, 1, 2).contiguous().float()
        # By a tensor on the device: with a plain number a GPU multiplies by 1 / 255, which rounds otherwise than a CPU.
        yield normalize_pictures(pixels_3BPP.div_(torch.full((), 255.0, device=device)))


def _decode_batch(files: tuple[Path, ...], size_px: int, *, pinned: bool) -> FittedPictures:
    """Return pictures fitted to the input of a network. Raises FaultError for the first that does not decode."""
    pictures_BPP3 = torch.empty(len(files), size_px, size_px, 3, dtype=torch.uint8, pin_memory=pinned)
    for picture_PP3, file in zip(pictures_BPP3.numpy(), files, strict=True):
        picture_PP3[:] = letterbox(decode_picture(file), size_px)
    return FittedPictures(pictures_BPP3=pictures_BPP3)


def decode_picture(file: Path) -> npt.NDArray[np.uint8]:
    """Return a JPEG or PNG as RGB, (H, W, 3). Raises FaultError, which names the file."""
    try:
        data = read_bytes(file)
    except OSError as error:
        raise_machine_fault(error)
        raise FaultError(f"{file}: cannot be read ({error.strerror})") from None
    return decode_rgb(data, str(file))


def picture_inputs(
    folder: Path, source: str, fps_of: Callable[[str], float], on_fault: Callable[[str], None]
) -> Iterator[TrackInput]:
    """Yield an input for each folder of pictures in `folder`, by name.

    Raises UserError where `folder` holds none.

    Args:
        source: name of the corpus.
        fps_of: frames a second of a video; raises UserError for one that it does not know.
        on_fault: called with a sentence for each folder that cannot be used.
    """
    folders = sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    if not folders:
        hint = " but pictures; name the folder above it" if any(map(_number, folder.iterdir())) else ""
        raise UserError(f"{folder}: holds no folder of pictures, as VIDEO/00001.jpg{hint}")
    for each in folders:
        try:
            files = numbered_pictures(each)
            fps = fps_of(each.name)
            listed = [[number, file.name, file.stat().st_size] for number, file in files.items()]
        except (FaultError, UserError) as error:
            on_fault(str(error))
            continue
        except OSError as error:  # a link that leads nowhere, a folder that may not be listed
            on_fault(f"{error.filename}: cannot be read ({error.strerror})")
            continue
        yield TrackInput(
            subject=TrackSubject(source=source, video_id=each.name),
            fps=fps,
            inputs_sha256=hashlib.sha256(json.dumps([fps, listed]).encode()).hexdigest(),
            noun="pictures",
            read=partial(_read_pictures, files, fps),
        )


def numbered_pictures(folder: Path) -> dict[int, Path]:
    """Return the pictures of a video by the numbers of their frames, rising; other files are left out.

    Pictures whose name is no number are told of. Raises FaultError for a folder without numbered pictures, and for a
    number that two pictures have or that is 0.
    """
    files: dict[int, Path] = {}
    others: list[str] = []
    for file in sorted(folder.iterdir()):
        number = _number(file)
        if number is None:
            if file.suffix.lower() in _ENDINGS:
                others.append(file.name)
            continue
        if number < 1 or number in files:
            other = (
                f"is frame {number}, as {files[number].name} is" if number in files else "is frame 0; they begin at 1"
            )
            raise FaultError(f"{file}: {other}")
        files[number] = file
    unnumbered = f"; the name of {others[0]!r} is none" if others else ""
    if not files:
        raise FaultError(f"{folder}: holds no picture with a number for its name, as 00001.jpg{unnumbered}")
    if others:
        log.warning(
            "%s: %s left out, as their names are no numbers of frames, as in 00001.jpg: %s",
            *(folder, count_noun(len(others), "picture"), ", ".join(others[:_MAX_NAMED])),
        )
    return dict(sorted(files.items()))


def rates_of_videos(fps: float | Path) -> Callable[[str], float]:
    """Return the function from a video to its frames a second: a number for all, or a table's.

    It raises UserError for a video that the table lacks; a table that is none raises it here.
    """
    if isinstance(fps, float):
        return lambda video: fps
    rates = read_fps_table(fps)

    def fps_of(video: str) -> float:
        if video not in rates:
            raise UserError(f"{fps}: has no row of the video {video}; add its frames a second")
        return rates[video]

    return fps_of


def read_fps_table(path: Path) -> Mapping[str, float]:
    """Return frames a second by video from a CSV file with the columns video and fps.

    Raises UserError, which names file and line.
    """
    rates: dict[str, float] = {}
    for where, row in read_csv_rows(path, ("video", "fps")):
        video = row["video"]
        try:
            fps = float(row["fps"])
        except ValueError:
            raise UserError(f"{where}: fps {row['fps']!r} is no number") from None
        if not video:
            raise UserError(f"{where}: names no video")
        if not is_frame_rate(fps):
            raise UserError(f"{where}: {row['fps']} is no number of frames a second")
        if rates.setdefault(video, fps) != fps:
            raise UserError(f"{where}: {video} has {rates[video]:g} fps in an earlier line")
    return rates


def _number(file: Path) -> int | None:
    match = _PICTURE.fullmatch(file.name)
    return int(match[1]) if match else None


def _read_pictures(files: Mapping[int, Path], fps: float) -> Iterator[FootageStretch]:
    frames_N = np.array(list(files), np.int64)
    footage = PictureFootage(files=tuple(files.values()), fps=fps)
    yield FootageStretch(footage=footage, frames_N=frames_N, times_s_N=(frames_N - 1) / fps)
