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
_MIN_CHANGE = (
    0.5  # of a comb's height, by which it differs from the frames around; a key frame alters still stripes less
)
_EIGHT_BIT = {(True, True): "yuv420p", (True, False): "yuv422p", (False, False): "yuv444p"}


class CombDetector:
    """Says of each frame, in the order of presentation, whether its even and odd lines show two moments.

    Stripes of one line in a progressive picture look like combs, but they are in the frame before or in the next one as
    well. Combs change with the motion that makes them.

    Args:
        search: examine frames that the stream does not flag as interlaced, too.
    """

    def __init__(self, search: bool) -> None:
        self._search = search
        self._before: Bytes | None = None  # examined columns of the frame before
        self._next: tuple[Any, Bytes | None] = (None, None)  # the next frame, and its columns
        self._latest = False  # answer for the frame before

    def is_interlaced(self, frame: Any, following: Any | None) -> bool:
        """Return whether the even and the odd lines of a frame show two moments with motion between them.

        Args:
            following: the frame for which the next call asks; None at the end.
        """
        columns = self._next[1] if self._next[0] is frame else self._columns(frame)
        self._next = following, None if following is None else self._columns(following)
        before, self._before = self._before, columns
        self._latest = columns is not None and self._changes_with_motion(columns, before, frame.interlaced_frame)
        return self._latest

    def _columns(self, frame: Any) -> Bytes | None:
        luma = _luma(frame) if frame.interlaced_frame or self._search else None
        if luma is None or len(luma) < _MIN_LINES:
            return None
        return np.ascontiguousarray(luma[:, :: -(-luma.shape[1] // _MAX_COLUMNS)])

    def _changes_with_motion(self, columns: Bytes, before: Bytes | None, flagged: bool) -> bool:
        combs = _combs(columns, _COMBED_ABOVE)
        if not _are_combed(columns, combs, flagged):
            return False
        neighbours = [other for other in (before, self._next[1]) if other is not None and other.shape == columns.shape]
        changes = [cv2.absdiff(columns, other) for other in neighbours]
        changes = [change for change in changes if int(change.max()) > _COMBED_ABOVE]
        if not changes:  # a repeated frame is what the one before was
            return self._latest
        for change in changes:
            # Of two neighbouring lines one may be the same as in the other frame, as in telecined film.
            combs[cv2.dilate(change, np.ones((3, 1), np.uint8)) < _MIN_CHANGE * combs] = 0
        return _are_combed(columns, combs, flagged)


def _are_combed(columns: Bytes, combs: npt.NDArray[np.int16], flagged: bool) -> bool:
    combed = np.count_nonzero(combs)
    if combed < (_MIN_SHARE_FLAGGED if flagged else _MIN_SHARE) * columns.size:
        return False
    every_second = sum(np.count_nonzero(_combs(columns[line::2], _COMBED_ABOVE)) for line in (0, 1))
    return bool(combed > _MIN_RATIO * every_second)


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


def _combs(plane_HW: Bytes, above: int) -> npt.NDArray[np.int16]:
    """Return by how much a line lies above, or below, both of its neighbours where the lines beyond lie with it."""
    rows = plane_HW.astype(np.int16)
    to_upper, to_lower = rows[2:-2] - rows[1:-3], rows[2:-2] - rows[3:-1]
    # Second neighbours belong to the same moment: tritical's comb filter (TIVTC), as in FFmpeg's fieldmatch.
    curve = np.abs(rows[:-4] + 4 * rows[2:-2] + rows[4:] - 3 * (rows[1:-3] + rows[3:-1]))
    height = np.where((to_upper > 0) == (to_lower > 0), np.minimum(np.abs(to_upper), np.abs(to_lower)), 0)
    out = np.zeros(plane_HW.shape, np.int16)
    out[2:-2] = np.where((height > above) & (curve > 6 * above), height, 0)
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
    combed = np.asarray(_combs(plane_HW, _REPAIRED_ABOVE) > 0, np.uint8)
    mask = cv2.dilate(combed, np.ones((5, 7), np.uint8))
    out = plane_HW.copy()
    odd = out[1::2]
    upper = plane_HW[0::2][: len(odd)]
    lower = np.concatenate([plane_HW[2::2], upper[-1:]])[: len(odd)]
    between = cv2.addWeighted(upper, 0.5, lower, 0.5, 0)
    np.copyto(odd, between, where=mask[1::2].astype(bool))
    return out
