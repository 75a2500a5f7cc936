"""Turns a decoded frame into the pixels that every later step sees."""

from typing import Any

import cv2
import numpy as np
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

from avf_curation.media.interlacing import deinterlace
from avf_curation.media.picture_format import display_size, frame_orientation, frame_traits
from avf_curation.media.tone_mapping import color_kind, to_bt709
from avf_curation.media.types import Bytes

_HD_LINES = 720  # frames from here on use BT.709 where no colour matrix is tagged


class FrameConverter:
    """Converts frames to arrays through swscale as a player shows them: upright, square pixels, BT.709, one moment."""

    def __init__(self) -> None:
        # One per output size: a reformatter sets itself up again, which costs more than a frame, when the size changes.
        self._reformatters: dict[tuple[int, int, str], VideoReformatter] = {}

    def array(self, frame: Any, width: int, height: int, pixels: str, fast: bool = True) -> Bytes:
        """Return `frame` as (height, width[, 3]) uint8.

        Args:
            width, height: of the array, upright; a multiple of `display_size` keeps the shapes.
            pixels: "bgr24" or "gray".
            fast: shrink by bilinear interpolation instead of area averages.
        """
        orientation = frame_orientation(frame)
        if frame_traits(frame).interlaced:
            frame = deinterlace(frame)
        if orientation.transposed:
            width, height = height, width
        enlarged = width > frame.width or height > frame.height
        same = (width, height) == (frame.width, frame.height)
        smooth = Interpolation.BICUBIC if enlarged else Interpolation.AREA
        converted = color_kind(frame) != ""
        target = "rgb48le" if converted else pixels
        reformatter = self._reformatters.setdefault((width, height, target), VideoReformatter())
        out: Any = reformatter.reformat(
            frame,
            width,
            height,
            target,
            src_colorspace=_color_matrix(frame),
            dst_colorspace=Colorspace.ITU601,
            interpolation=Interpolation.FAST_BILINEAR if fast and not same and not enlarged else smooth,
            threads=1,
        ).to_ndarray()
        if converted:
            out = cv2.cvtColor(to_bt709(out, frame), cv2.COLOR_RGB2GRAY if pixels == "gray" else cv2.COLOR_RGB2BGR)
        return orientation.apply(np.asarray(out, np.uint8))

    def long_side(self, frame: Any, side_px: int, pixels: str) -> tuple[Bytes, float]:
        """Return `frame` shrunk so that its longer side is at most `side_px`, and the scale (array px / source px)."""
        width, height = display_size(frame)
        scale = min(1.0, side_px / max(width, height))
        size = (max(8, round(width * scale)), max(8, round(height * scale)))  # the shot detectors need a few rows
        return self.array(frame, *size, pixels), scale


def _color_matrix(frame: Any) -> Colorspace:
    """Return the colour matrix of the frame; where none is tagged, BT.709 from 720 lines on and BT.601 below."""
    tag = int(frame.colorspace)  # AVColorSpace: 1 is BT.709, 2 unspecified, 9 and 10 are BT.2020
    if tag == 1 or (tag == 2 and min(frame.width, frame.height) >= _HD_LINES):
        return Colorspace.ITU709
    return Colorspace.BT2020 if tag in (9, 10) else Colorspace.ITU601
