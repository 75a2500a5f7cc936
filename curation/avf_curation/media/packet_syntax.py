"""Tells from the bytes of a video packet what neither the container nor the decoder says."""

import re
from typing import Any

HEADER_BYTES = 512  # of a packet, in which its first picture begins unless a long message comes before

_B_PICTURE = 3  # picture_coding_type of MPEG-1 and MPEG-2
_B_VOP = 2  # vop_coding_type of MPEG-4


_MAX_PADDING = 32  # zero bytes at the end of a unit
_ZEROS_IN_UNIT = re.compile(rb"\0\0\0[^\0\1]")  # where a 1 follows, the zeros lie in front of the next unit


def is_unreferenced(header: memoryview, codec: str) -> bool:
    """Return whether the first picture at the start of a packet says that no other frame refers to it.

    Known of H.264, HEVC, and of the B-pictures of MPEG-1, MPEG-2 and MPEG-4, to which none refers; else False.
    """
    if codec in ("h264", "hevc"):
        return _is_unreferenced_slice(bytes(header), codec)
    if codec in ("mpeg1video", "mpeg2video"):
        picture = bytes(header).partition(b"\0\0\1\0")[2]
        return len(picture) > 1 and picture[1] >> 3 & 7 == _B_PICTURE
    if codec == "mpeg4":
        picture = bytes(header).partition(b"\0\0\1\xb6")[2]
        return len(picture) > 0 and picture[0] >> 6 == _B_VOP
    return False


def _is_unreferenced_slice(data: bytes, codec: str) -> bool:
    """Packets hold either start codes (00 00 01) or lengths of four bytes before each unit."""
    position = data.find(b"\0\0\1") + 3 if data[:3] == b"\0\0\1" or data[:4] == b"\0\0\0\1" else 4
    has_start_codes = position == 3 or data[:4] == b"\0\0\0\1"
    while position < len(data):
        unit = data[position]
        if codec == "h264" and unit & 31 in (1, 5):  # a slice; the two bits before its type are 0 without reference
            return not unit & 96
        if codec == "hevc" and (unit >> 1) & 63 < 32:  # even types below 16 are sub-layer non-reference pictures
            return (unit >> 1) & 63 < 16 and not unit & 2
        if has_start_codes:
            following = data.find(b"\0\0\1", position)
            position = following + 3 if following >= 0 else len(data)
        else:
            position += int.from_bytes(data[position - 4 : position]) + 4
    return False


def codec_of_header(header: memoryview) -> str:
    """Return the family of codecs of a packet of an MPEG stream by its first start code; "" where it does not say.

    The families are "h264", "hevc", "mpeg4" and "mpeg", which is MPEG-1, MPEG-2 or MPEG-4.
    """
    code = bytes(header[:6]).lstrip(b"\0")[:3]
    if len(code) < 3 or code[0] != 1:
        return ""
    if code[1] == 0x09 and code[2] & 31 == 16:  # an access unit delimiter, which MPEG-TS demands
        return "h264"
    if code[1] in (0x40, 0x46) and code[2] == 1:  # the same of HEVC, or its video parameter set
        return "hevc"
    if code[1] == 0xB3:  # a sequence of MPEG-2, or a group of MPEG-4
        return "mpeg"
    return "mpeg4" if code[1] in (0xB0, 0xB6) else ""


def nal_length_bytes(codec: Any) -> int:
    """Return how many bytes state the length of each unit in the packets of H.264 or HEVC; 0: start codes lie between.

    Args:
        codec: PyAV's codec context.
    """
    extradata = bytes(codec.extradata or b"")
    position = {"h264": 4, "hevc": 21}.get(codec.name)
    if position is None or len(extradata) <= position or extradata[0] != 1:
        return 0
    return (extradata[position] & 3) + 1


def has_zeros_in_units(packet: memoryview) -> bool:
    """Return whether three zero bytes lie inside a unit of H.264 or HEVC with start codes, where none may."""
    return _ZEROS_IN_UNIT.search(packet) is not None


def has_zero_fill(packet: memoryview, codec: str, length_bytes: int) -> bool:
    """Return whether zeros lie in a slice of H.264 or HEVC, as in a file of which parts were never written.

    No slice may hold three zero bytes in a row: encoders put a 3 before the third one (emulation prevention). FFmpeg
    decodes the zeros as if they were a picture.

    Args:
        length_bytes: of each unit, as `nal_length_bytes` returns them.
    """
    data = bytes(packet)
    zeros = data.find(b"\0\0\0", length_bytes)
    position = 0
    while length_bytes and zeros >= 0 and position + length_bytes < len(data):
        start = position + length_bytes
        position = start + int.from_bytes(data[position:start])
        is_slice = 1 <= data[start] & 31 <= 5 if codec == "h264" else (data[start] >> 1) & 63 < 32
        zeros = data.find(b"\0\0\0", start, position) if is_slice else -1
        if zeros >= 0:
            rest = data[zeros:position]
            if rest.strip(b"\0") or len(rest) > _MAX_PADDING:
                return True
        zeros = data.find(b"\0\0\0", position + length_bytes)
    return False
