"""Encoded pictures to upright pixels (PyAV). H height, W width."""

import struct

import av
import numpy as np
import numpy.typing as npt
from avf_shards.errors import FaultError

from avf_training.data.media_faults import describe_media_fault
from avf_training.data.picture_damage import ERROR_DETECTION, describe_unseen_damage
from avf_training.data.picture_orientation import read_orientation, turn_upright

_CODECS = {b"\xff\xd8": "mjpeg", b"\x89P": "png"}  # by the first bytes, whatever the name says
_FRAME_HEADERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of JPEG whose segment says the size
#: What declares more is refused before memory is taken for it. Curation stores what has up to `media.max_pixels`.
MAX_PIXELS = 8192 * 8192


def decode_rgb(data: bytes, where: str) -> npt.NDArray[np.uint8]:
    """Return a JPEG or PNG as RGB, (H, W, 3), upright by the orientation in its EXIF.

    Raises FaultError, which names the picture by `where`, for one that does not decode, is cut off or is damaged
    inside as far as decoders can tell.
    """
    codec = _CODECS.get(data[:2])
    if codec is None:
        raise FaultError(f"{where}: is neither JPEG nor PNG")
    size = declared_size(data)
    if size is not None and size[0] * size[1] > MAX_PIXELS:
        raise FaultError(
            f"{where}: declares {size[0]:,} x {size[1]:,} pixels, more than the {MAX_PIXELS:,} that are read; scale it "
            "down, or leave it out"
        )
    context = av.CodecContext.create(codec, "r")
    context.thread_count = 1
    context.options = {"max_pixels": str(MAX_PIXELS), "err_detect": ERROR_DETECTION[codec]}
    try:
        frames = [*context.decode(av.Packet(data)), *context.decode(None)]  # type: ignore[attr-defined]  # typed for codecs of any kind
        if len(frames) != 1:
            raise FaultError(f"{where}: does not decode as one picture")
        # One thread: for a picture, to start others takes longer than the conversion.
        rgb_HW3 = np.asarray(frames[0].to_ndarray(format="rgb24", threads=1))
    except (av.error.FFmpegError, ValueError) as error:
        raise FaultError(f"{where}: does not decode ({describe_media_fault(error)})") from None
    damage = describe_unseen_damage(data, codec, frames[0].width, frames[0].height)
    if damage is not None:
        raise FaultError(f"{where}: is damaged inside ({damage})")
    return turn_upright(rgb_HW3, read_orientation(data))


def declared_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height that the header of a JPEG or PNG declares, in pixels; None where it has none."""
    if data[:2] == b"\x89P":
        if len(data) < 24:
            return None
        width, height = struct.unpack(">II", data[16:24])
        return width, height
    start = 2
    while start + 9 <= len(data) and data[start] == 0xFF:
        marker = data[start + 1]
        if marker in _FRAME_HEADERS:
            height, width = struct.unpack(">HH", data[start + 5 : start + 9])
            return width, height
        start += 1 if marker == 0xFF else 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    return None
