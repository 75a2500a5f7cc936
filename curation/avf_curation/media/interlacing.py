"""Interlaced frames, whose even and odd lines show two moments: finds the combed pixels and fills them from one moment.

Only combed pixels change, so what stands still keeps all of its lines, and a progressive film in an interlaced stream
stays as it is. Every frame is repaired for itself: a later read of a span has the same bytes as the first.
"""

from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from avf_curation.media.types import Bytes

_COMBED_ABOVE = 9  # grey levels between a line and both neighbours: `cthresh` of FFmpeg's fieldmatch
_REPAIRED_ABOVE = 5  # in frames that are interlaced, weaker combs are repaired too
_MIN_LINES = 32
_MAX_COLUMNS = 64  # of a frame that are examined
_MIN_SHARE = 0.002  # of the examined pixels; a head that moves combs 0.01 to 0.2 of them
_MIN_SHARE_FLAGGED = 0.0002  # where the stream says that its frames are interlaced
# Combs from line to line over combs from every second line, which noise and fine patterns have as well: 26 progressive
# films have at most 0.5, interlaced ones 20 to 75.
_MIN_RATIO = 4.0
_EIGHT_BIT = {(True, True): "yuv420p", (True, False): "yuv422p", (False, False): "yuv444p"}


def is_interlaced(frame: Any, search: bool) -> bool:
    """Return whether the even and the odd lines of a frame show two moments with motion between them.

    A frame that the stream does not flag as interlaced is examined only with `search`.
    """
    flagged = frame.interlaced_frame
    luma = _luma(frame) if flagged or search else None
    if luma is None or len(luma) < _MIN_LINES:
        return False
    luma = np.ascontiguousarray(luma[:, :: -(-luma.shape[1] // _MAX_COLUMNS)])
    combed = int(_combed(luma, _COMBED_ABOVE).sum())
    if combed < (_MIN_SHARE_FLAGGED if flagged else _MIN_SHARE) * luma.size:
        return False
    every_second = _combed(luma[0::2], _COMBED_ABOVE).sum() + _combed(luma[1::2], _COMBED_ABOVE).sum()
    return combed > _MIN_RATIO * int(every_second)


def _luma(frame: Any) -> Bytes | None:
    """Return the luma of a planar frame as 8 bits; None for formats that interlaced video does not have."""
    pixel_format = frame.format
    if pixel_format.is_rgb or not pixel_format.is_planar or pixel_format.has_palette or pixel_format.is_big_endian:
        return None
    plane, bits = frame.planes[0], pixel_format.components[0].bits
    if bits == 8:
        return np.frombuffer(plane, np.uint8).reshape(frame.height, -1)[:, : frame.width]
    rows = np.frombuffer(plane, np.uint16).reshape(frame.height, -1)[:, : frame.width]
    return np.asarray(rows >> (bits - 8), np.uint8)


def _combed(plane_HW: Bytes, above: int) -> npt.NDArray[np.uint8]:
    """Return 1 where a line lies above, or below, both of its neighbours, and the lines beyond lie with it."""
    rows = plane_HW.astype(np.int16)
    to_upper, to_lower = rows[2:-2] - rows[1:-3], rows[2:-2] - rows[3:-1]
    # Second neighbours belong to the same moment: tritical's comb filter (TIVTC), as in FFmpeg's fieldmatch.
    curve = np.abs(rows[:-4] + 4 * rows[2:-2] + rows[4:] - 3 * (rows[1:-3] + rows[3:-1]))
    both = ((to_upper > above) & (to_lower > above)) | ((to_upper < -above) & (to_lower < -above))
    out = np.zeros(plane_HW.shape, np.uint8)
    out[2:-2] = both & (curve > 6 * above)
    return out


def deinterlace(frame: Any) -> Any:
    """Return the frame in YCbCr of 8 bits, with the odd lines of combed regions drawn from the even lines."""
    sub_x, sub_y = frame.format.chroma_width(64) == 32, frame.format.chroma_height(64) == 32
    name = _EIGHT_BIT.get((sub_x, sub_y), "yuv444p")
    source = frame.reformat(format=name, threads=1)
    out = av.VideoFrame(frame.width, frame.height, name)
    out.colorspace, out.color_range = source.colorspace, source.color_range
    out.color_trc, out.color_primaries = source.color_trc, source.color_primaries
    for plane, target in zip(source.planes, out.planes, strict=True):
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)[:, : plane.width]
        padded = np.zeros((target.height, target.line_size), np.uint8)
        padded[:, : target.width] = _repair(rows)
        target.update(padded.tobytes())
    return out


def _repair(plane_HW: Bytes) -> Bytes:
    mask = cv2.dilate(_combed(plane_HW, _REPAIRED_ABOVE), np.ones((5, 7), np.uint8))
    out = plane_HW.copy()
    odd = out[1::2]
    upper = plane_HW[0::2][: len(odd)]
    lower = np.concatenate([plane_HW[2::2], upper[-1:]])[: len(odd)]
    between = cv2.addWeighted(upper, 0.5, lower, 0.5, 0)
    np.copyto(odd, between, where=mask[1::2].astype(bool))
    return out
