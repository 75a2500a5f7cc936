"""Tells a picture that its decoder takes although its data are damaged inside; what is lost would be a grey area.

No decoder sees every damage of a JPEG, which has no checksum. FFmpeg stops at coefficients outside their block, and
libjpeg-turbo warns of codes that are none and of data that are missing or left over. A PNG has a checksum of each
chunk, which FFmpeg is asked for, and one of all its pixels, which it does not read.
"""

import zlib
from collections.abc import Iterator

import simplejpeg

#: FFmpeg's `err_detect` by codec: the first error ends the decoding; it would be concealed.
ERROR_DETECTION = {"mjpeg": "explode", "png": "crccheck+explode"}
# How libjpeg-turbo's messages of lost or surplus data begin; others, of headers that other programs wrote, change
# no pixel, and what it cannot read at all is for FFmpeg to refuse.
_LIBJPEG_DAMAGE = ("Corrupt JPEG data", "Premature end of JPEG", "Inconsistent progression")
_MAX_MESSAGE_CHARACTERS = 100
_SIGNATURE_BYTES, _CHUNK_HEAD_BYTES, _CHECKSUM_BYTES = 8, 8, 4  # of a PNG
_MAX_BYTES_PER_PIXEL = 8  # of a PNG: four values of 16 bits
_BLOCK_BYTES = 1 << 20


def describe_unseen_damage(data: bytes, codec: str, width_px: int, height_px: int) -> str | None:
    """Return in words what is damaged in a picture that FFmpeg has decoded; None where nothing is seen.

    Args:
        data: a JPEG or PNG.
        codec: FFmpeg's name for it, mjpeg or png.
        width_px: of the decoded picture.
        height_px: of the decoded picture.
    """
    if codec == "mjpeg":
        return _ask_libjpeg(data)
    # A row has a byte for its filter, and of an interlaced picture there are up to seven for each of its rows.
    return _inflate(_image_data(data), (_MAX_BYTES_PER_PIXEL * width_px + 8) * height_px)


def _ask_libjpeg(data: bytes) -> str | None:
    try:
        # The smallest size: every code is read, and no pixel is computed that is not looked at.
        simplejpeg.decode_jpeg(data, colorspace="GRAY", min_height=1, min_width=1, strict=True)
    except ValueError as error:
        message = str(error)
        return message[:_MAX_MESSAGE_CHARACTERS] if message.startswith(_LIBJPEG_DAMAGE) else None
    return None


def _image_data(png: bytes) -> Iterator[bytes]:
    """Yield the data of the chunks that have the pixels, which are one stream by deflate."""
    start = _SIGNATURE_BYTES
    while start + _CHUNK_HEAD_BYTES <= len(png):
        size, kind = int.from_bytes(png[start : start + 4]), png[start + 4 : start + _CHUNK_HEAD_BYTES]
        start += _CHUNK_HEAD_BYTES
        if kind == b"IDAT":
            yield png[start : start + size]
        start += size + _CHECKSUM_BYTES


def _inflate(parts: Iterator[bytes], max_bytes: int) -> str | None:
    """Inflate to the end, where the checksum is, or past all that the picture can need. What is inflated is dropped."""
    inflater = zlib.decompressobj()
    try:
        for part in parts:
            while part and not inflater.eof:
                max_bytes -= len(inflater.decompress(part, _BLOCK_BYTES))
                if max_bytes < 0:
                    return None
                part = inflater.unconsumed_tail
    except zlib.error as error:
        return f"Corrupt PNG data: {error}"[:_MAX_MESSAGE_CHARACTERS]
    return None if inflater.eof else "Corrupt PNG data: they end before their checksum"
