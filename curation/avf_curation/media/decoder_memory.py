"""Bounds the memory that a decoder and its readers hold, by what a stream declares, before the pictures are there.

A few hundred kilobytes of H.264 declare sixteen reference pictures of 67 million pixels, each of 100 MB. How many of
them a stream fills depends on its content; so the bound takes the most that its codec allows, and allows more to a
larger file, as real films of so many pixels are. The answer is a function of the stream alone, on every machine.
"""

from typing import Any

import av

from avf_curation.media.types import MediaError

_ALLOWED_BYTES, _ALLOWED_BYTES_PER_BYTE = 1_200_000_000, 20
#: Codec -> pictures that its decoder keeps to refer to, at most; the one that is decoded counts too.
_REFERENCES = {"h264": 17, "hevc": 17, "vvc": 17, "av1": 10, "libdav1d": 10, "vp9": 9, "vp8": 5, "vp7": 4}
_OTHER_REFERENCES = 3
_COPIES = 3  # of a picture in 8-bit RGB that the steps after the decoder hold at a time
_RGB_BYTES = 3


def held_bytes(codec: str, pixel_format: str, width: int, height: int, delayed: int) -> int:
    """Return the bytes that decoding a stream may hold at a time.

    Args:
        codec: FFmpeg's name of the decoder.
        pixel_format: FFmpeg's name, such as yuv420p.
        width: of the coded picture, in pixels, as its height is.
        delayed: pictures that wait for others that are shown before them.
    """
    pixels = width * height
    picture_bytes = pixels * av.VideoFormat(pixel_format, 16, 16).padded_bits_per_pixel // 8
    return (_REFERENCES.get(codec, _OTHER_REFERENCES) + delayed) * picture_bytes + _COPIES * _RGB_BYTES * pixels


class DecoderMemory:
    """Checks a decoder after each packet: a stream may change its size and its format at any of them."""

    def __init__(self, file_bytes: int) -> None:
        """Check nothing yet.

        Args:
            file_bytes: size of the file that the stream is in.
        """
        self._allowed_bytes = _ALLOWED_BYTES + _ALLOWED_BYTES_PER_BYTE * file_bytes
        self._checked: tuple[int, int, str | None, int] | None = None

    def check(self, context: Any) -> None:
        """Raise MediaError where the stream of a PyAV codec context asks for more memory than a file of its size."""
        width, height = max(context.coded_width, context.width), max(context.coded_height, context.height)
        state = (width, height, context.pix_fmt, int(context.has_b_frames))
        if state == self._checked or state[2] is None:
            return
        self._checked = state
        needed_bytes = held_bytes(context.name, state[2], width, height, state[3])
        if needed_bytes > self._allowed_bytes:
            raise MediaError(
                "memory_limit",
                f"decoding {width} x {height} pixels of {context.name} may hold {needed_bytes / 1e6:.0f} MB, and a "
                f"file of its size {self._allowed_bytes / 1e6:.0f} MB",
            )
