"""Windows and pictures of the two sets: from videos and pictures in folders, in the order of their names."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import av
import numpy as np
from avf_shards.errors import FaultError, UserError
from avf_shards.system.storage_faults import open_plain, raise_machine_fault
from avf_shards.text import count_noun
from PIL import Image, UnidentifiedImageError

from avf_training.data.media_faults import describe_media_fault
from avf_training.frechet.detector_input import PixelArray

_VIDEOS = frozenset((".mp4", ".avi", ".mkv", ".mov", ".webm"))
_PICTURES = frozenset((".png", ".jpg", ".jpeg", ".bmp"))
_NO_PROTOCOL = {"protocol_whitelist": "none"}  # FFmpeg opens no other file and no address that a file names
_MAX_PIXELS = 4096 * 4096  # of a frame or picture


@dataclass(frozen=True, kw_only=True)
class FootageOptions:
    """Which frames count."""

    frames: int = 16  # of a window
    windows: str = "first"  # first: one a video; all: side by side, without what is left over at the end
    every: int = 1  # of the frames of a video each how many-th is a picture

    def __post_init__(self) -> None:
        if self.frames < 10:
            raise UserError(f"--frames {self.frames} must be at least 10: the I3D network gives nothing for fewer")
        if self.every < 1:
            raise UserError(f"--every {self.every} must be at least 1")


def list_footage(path: Path, *, pictures: bool) -> list[Path]:
    """Return a file, or the videos in a folder and below; with `pictures` pictures too. Raises UserError for none."""
    endings = _VIDEOS | _PICTURES if pictures else _VIDEOS
    if path.is_file():
        return [path]
    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in endings and file.is_file())
    if not files:
        raise UserError(f"{path}: holds no file that ends in {', '.join(sorted(endings))}")
    return files


def windows_of(files: Sequence[Path], options: FootageOptions) -> Iterator[PixelArray]:
    """Yield windows of consecutive frames, each (T, H, W, 3).

    Raises:
        UserError: A video has fewer frames than a window.
        FaultError: A video does not decode.
    """
    for file in files:
        window: list[PixelArray] = []
        count = 0
        for frame in _frames_of(file):
            window.append(frame)
            if len(window) == options.frames:
                yield np.stack(window)
                window, count = [], count + 1
                if options.windows == "first":
                    break
        if not count:
            raise UserError(
                f"{file}: has {count_noun(len(window), 'frame')} and a window has {options.frames}; leave the "
                "file out, or take shorter windows with --frames, for all distances that are compared"
            )


def pictures_of(files: Sequence[Path], options: FootageOptions) -> Iterator[PixelArray]:
    """Yield pictures, and of videos each `every`-th frame, each (H, W, 3). Raises FaultError."""
    for file in files:
        if file.suffix.lower() in _PICTURES:
            yield _read_picture(file)
            continue
        for number, frame in enumerate(_frames_of(file)):
            if number % options.every == 0:
                yield frame


def _frames_of(file: Path) -> Iterator[PixelArray]:
    try:
        with (
            open(file, "rb", opener=open_plain) as data,
            av.open(data, "r", options=_NO_PROTOCOL) as container,
        ):
            if not container.streams.video:
                raise FaultError(f"{file}: has no picture")
            stream = container.streams.video[0]
            stream.codec_context.options = {"max_pixels": str(_MAX_PIXELS)}
            for frame in container.decode(stream):
                yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    except (av.error.FFmpegError, ValueError, EOFError) as error:
        raise FaultError(f"{file}: does not decode as a video ({describe_media_fault(error)})") from None


def _read_picture(file: Path) -> PixelArray:
    try:
        with open(file, "rb", opener=open_plain) as data, _open_picture(data) as picture:
            if picture.width * picture.height > _MAX_PIXELS:
                raise FaultError(f"{file}: has {picture.width} x {picture.height} pixels, more than any here")
            return np.asarray(picture.convert("RGB"))
    except Image.DecompressionBombError:
        raise FaultError(f"{file}: has more pixels than any picture here") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise_machine_fault(error)
        raise FaultError(f"{file}: does not decode as a picture ({' '.join(str(error).split())[:120]})") from None


def _open_picture(data: IO[bytes]) -> Image.Image:
    """Open a picture without Pillow's warning of a large one, which is refused by its size here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(data)
