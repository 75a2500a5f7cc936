"""Tells a picture whose data are damaged inside, which Pillow decodes without a word.

No decoder sees every damage. Two ask more of a JPEG than Pillow does, by different questions: libjpeg-turbo warns of
codes that are none and of data that are missing or left over, and FFmpeg of coefficients outside their block. PNG has
a checksum of each chunk, and TIFF by deflate one of each strip. Uncompressed BMP and TIFF have nothing to check.
"""

import io
import zlib

import av
import simplejpeg
from PIL import Image, UnidentifiedImageError

av.logging.set_level(None)  # FFmpeg would write a line to stderr for each damaged block
# How libjpeg-turbo's messages of lost or surplus data begin; others, of headers that other programs wrote, change
# no pixel, and what one library cannot read at all is for Pillow to refuse.
_LIBJPEG_DAMAGE = ("Corrupt JPEG data", "Premature end of JPEG", "Inconsistent progression")
_MAX_MESSAGE_CHARACTERS = 100
_COMPRESSION, _DEFLATE, _JPEG = 259, (8, 32946), 7  # a tag of TIFF, and three of its values
_JPEG_TABLES = 347  # a tag of TIFF
_PART_TAGS = ((273, 279), (324, 325))  # tags of the starts and sizes of strips, and of tiles
_BLOCK_BYTES = 1 << 20
_MAX_BYTES_PER_PIXEL = 8


def describe_damage(data: bytes, form: str | None, max_pixels: int) -> str | None:
    """Return in words what is damaged in the bytes of a picture that Pillow has decoded; None where nothing is seen.

    Args:
        form: the format that Pillow names.
        max_pixels: what a decoder may take memory for.
    """
    if form in ("JPEG", "MPO"):  # MPO: a JPEG with further ones behind it, which nobody reads
        return _ask_libjpeg(data) or _ask_ffmpeg(data, max_pixels)
    if form == "PNG":
        return _ask_checksums(data)
    if form == "TIFF":
        return _ask_strips(data, max_pixels)
    return None


def _ask_libjpeg(data: bytes) -> str | None:
    try:
        # The smallest size: every code is read, and no pixel is computed that is not looked at.
        simplejpeg.decode_jpeg(data, colorspace="GRAY", min_height=1, min_width=1, strict=True)
    except ValueError as error:
        message = str(error)
        return message[:_MAX_MESSAGE_CHARACTERS] if message.startswith(_LIBJPEG_DAMAGE) else None
    return None


def _ask_ffmpeg(data: bytes, max_pixels: int) -> str | None:
    decoder = av.CodecContext.create("mjpeg", "r")
    # The first error ends it; it would be concealed.
    decoder.options = {"err_detect": "explode", "max_pixels": str(max_pixels)}
    decoder.thread_count = 1
    try:
        for packet in (av.Packet(data), None):
            for _ in decoder.decode(packet):
                pass
    except av.error.InvalidDataError:
        return "Corrupt JPEG data: FFmpeg's decoder stops in it"
    except av.error.FFmpegError:
        return None  # a kind of JPEG that FFmpeg does not know
    return None


def _ask_checksums(data: bytes) -> str | None:
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            image.verify()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        return f"Corrupt PNG data: {error}"[:_MAX_MESSAGE_CHARACTERS]
    return None


def _ask_strips(data: bytes, max_pixels: int) -> str | None:
    """Read each strip or tile of a TIFF by deflate or JPEG as a file of its own: libtiff hides what they lack."""
    with Image.open(io.BytesIO(data), formats=("TIFF",)) as image:
        tags = dict(getattr(image, "tag_v2", {}))
    compression, damage = tags.get(_COMPRESSION), None
    for starts, sizes in _PART_TAGS:
        for start, size in zip(_as_tuple(tags.get(starts)), _as_tuple(tags.get(sizes)), strict=False):
            part = data[start : start + size]
            if compression in _DEFLATE:
                damage = damage or _inflate(part, max_pixels * _MAX_BYTES_PER_PIXEL)
            elif compression == _JPEG:
                tables = tags.get(_JPEG_TABLES)  # what all strips share
                whole = tables[:-2] + part[2:] if isinstance(tables, bytes) else part
                damage = damage or _ask_libjpeg(whole) or _ask_ffmpeg(whole, max_pixels)
    return damage


def _as_tuple(value: object) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else ()


def _inflate(part: bytes, max_bytes: int) -> str | None:
    """Inflate to the end, where the checksum is; libtiff stops before it. What is inflated is dropped."""
    inflater = zlib.decompressobj()
    try:
        while not inflater.eof and max_bytes > 0 and (block := inflater.decompress(part, _BLOCK_BYTES)):
            max_bytes, part = max_bytes - len(block), inflater.unconsumed_tail
    except zlib.error as error:
        return f"Corrupt TIFF data: {error}"[:_MAX_MESSAGE_CHARACTERS]
    return None if inflater.eof or max_bytes <= 0 else "Corrupt TIFF data: a strip ends before its checksum"
