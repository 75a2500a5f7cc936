"""How a stored picture becomes the one that a player shows: its orientation, the shape of its pixels, its size."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.sidedata.sidedata import Type as SideDataType

from avf_curation.media.types import Bytes

_MAX_PIXEL_ASPECT = 4.0  # a damaged header may say anything; the widest in use, 2.4 : 1 film in 4 : 3, stays below
_SQUARE_WITHIN = 0.01  # nobody sees one per cent, and players round the ratio: such pixels count as square

# PyAV 18.1 raises ValueError for all side data of a frame that has one kind which PyAV does not know, such as EXIF.
# Such kinds are read as one that no step here uses.
SideDataType._missing_ = classmethod(lambda kinds, _: kinds.VIDEO_HINT)  # type: ignore[assignment,method-assign]  # the hook of Enum is set from outside


@dataclass(frozen=True, kw_only=True)
class Orientation:
    """One of the eight ways in which a stored picture can lie; the flips come after the transposition."""

    transposed: bool = False  # rows become columns
    flipped_x: bool = False  # left and right change places
    flipped_y: bool = False  # top and bottom change places

    def apply(self, image: Bytes) -> Bytes:
        """Return a stored picture (H, W[, 3]) as a player shows it."""
        if self.transposed:
            image = np.swapaxes(image, 0, 1)
        if self.flipped_y:
            image = image[::-1]
        if self.flipped_x:
            image = image[:, ::-1]
        return np.ascontiguousarray(image)


@dataclass(frozen=True, kw_only=True)
class FrameTraits:
    """What is known of a frame beside its pixels. MediaFile attaches the traits to the frames that it yields."""

    pixel_aspect: float = 1.0  # width over height of a stored pixel
    interlaced: bool = False  # even and odd lines show two moments with motion between them


def frame_traits(frame: Any) -> FrameTraits:
    """Return the traits that are attached to a frame, or those of a plain picture."""
    return frame.opaque if isinstance(frame.opaque, FrameTraits) else FrameTraits()


def side_data(frame: Any, kind: str) -> Any | None:
    """Return a frame's side data of a kind, such as DISPLAYMATRIX, or None.

    The frame's own attribute `side_data` makes a reference cycle, so that frames by the hundred, each of many
    megabytes, would stay in memory until the next garbage collection.
    """
    return SideDataContainer(frame).get(kind)  # type: ignore[call-arg]  # its stub lacks the constructor


def frame_orientation(frame: Any) -> Orientation:
    """Return how the stored picture lies, by its display matrix, snapped to quarter turns."""
    matrix = side_data(frame, "DISPLAYMATRIX")
    if matrix is None:
        return Orientation()
    # The columns of a stored pixel (x, y) go to a * x + c * y, its rows to b * x + d * y.
    a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(matrix), np.int32)[:5])
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(transposed=True, flipped_x=c < 0, flipped_y=b < 0)
    return Orientation(flipped_x=a < 0, flipped_y=d < 0)


def credible_pixel_aspect(*ratios: Any) -> float:
    """Return the first of some width-to-height ratios of a pixel that is known, or 1 where it cannot be believed."""
    ratio = next((float(ratio) for ratio in ratios if ratio), 1.0)
    if abs(ratio - 1) <= _SQUARE_WITHIN or not 1 / _MAX_PIXEL_ASPECT <= ratio <= _MAX_PIXEL_ASPECT:
        return 1.0
    return ratio


def display_size(frame: Any) -> tuple[int, int]:
    """Return the (width, height) of the frame as a player shows it: upright, in square pixels.

    As in FFmpeg's `scale=iw*sar:ih`, the stored lines stay and the width changes.
    """
    width, height = max(1, round(frame.width * frame_traits(frame).pixel_aspect)), frame.height
    return (height, width) if frame_orientation(frame).transposed else (width, height)
