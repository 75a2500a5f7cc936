"""Tells a photograph that a camera moves over from a face: what changes after the camera's motion is taken out.

Shapes: T frames, H height, W width.
"""

import math
from itertools import pairwise

import cv2
import numpy as np

from avf_curation.detectors.alignment import Image, MotionSearch, refine_motion, take_motion_out
from avf_curation.media.types import Bytes

SIDE_PX = 96  # of the aligned images
BLOCK_PX = 10  # a mouth fills a few such blocks of a crop around the face
STEP = 5  # frames between two images, 0.2 s: a mouth has moved, and the camera not too far to align
FACE_SHARE = 0.75  # of the crop's side: the face, without the background around it
QUANTILE = 0.9  # of the changes
BLUR_PX = 5  # noise and the fractions of a pixel that the crop leaves count for less
_MARGIN_PX = 8  # beside the border the aligned image has no content
_COARSE = MotionSearch(kind=cv2.MOTION_TRANSLATION, blur_px=9, max_iterations=50, min_gain=1e-5)
_FINE = MotionSearch(kind=cv2.MOTION_AFFINE, blur_px=5, max_iterations=50, min_gain=1e-5)


def is_still_picture(grey_THW: Bytes, still_level: float) -> bool:
    """Return whether the most changed block changes by less than `still_level` in 0.2 s, without the camera's motion.

    The motion is an affine map of the face, as `refine_motion` gives it. The 90th percentile of the changes is
    compared, so that a pause of the mouth does not count as a still. A crop that is too short to tell is none.

    Args:
        grey_THW: the crop around the face.
        still_level: grey levels.
    """
    faces = _face_inside_frame(grey_THW[::STEP])
    small = [cv2.resize(face, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA) for face in faces]
    images: list[Image] = [
        np.asarray(cv2.GaussianBlur(frame.astype(np.float32), (BLUR_PX, BLUR_PX), 0)) for frame in small
    ]
    # So many changes that reach the level bring the percentile above it, whatever the others are.
    enough = len(images) - 1 - math.floor(QUANTILE * (len(images) - 2))
    changes: list[float] = []
    # Aligning takes the time. Pairs that differ much as they are reach the level first, and the others are left out.
    for before, after in sorted(pairwise(images), key=_plain_change, reverse=True):
        changes.append(_change(before, after))
        if sum(change >= still_level for change in changes) >= enough:
            return False
    return bool(changes) and float(np.quantile(changes, QUANTILE)) < still_level


def _face_inside_frame(grey_THW: Bytes) -> Bytes:
    """Return the part of the crops that shows the face, without rows and columns of padding beyond the frame.

    The edge of the padding does not move with the camera.
    """
    side = grey_THW.shape[1]
    margin = round(side * (1 - FACE_SHARE) / 2)
    ranges = []
    for other in (2, 1):
        filled = np.nonzero((grey_THW.max(other) > 0).all(0))[0]
        if len(filled) == 0:
            return grey_THW
        # The outermost row is mixed with the padding.
        start, stop = max(margin, int(filled[0]) + 1), min(side - margin, int(filled[-1]))
        ranges.append(slice(start, stop) if stop - start >= side // 4 else slice(margin, side - margin))
    return grey_THW[:, ranges[0], ranges[1]]


def _plain_change(pair: tuple[Image, Image]) -> float:
    """Return the change of the most changed block with the camera's motion in it."""
    return _most_changed(*pair)


def _change(before_HW: Image, after_HW: Image) -> float:
    """Return the change of the most changed block; the least over two ways to find the motion, as one may fail."""
    coarse = refine_motion(before_HW, after_HW, np.eye(2, 3, dtype=np.float32), _COARSE)
    starts = (np.eye(2, 3, dtype=np.float32), coarse)
    return min(_aligned_change(before_HW, after_HW, start) for start in starts)


def _aligned_change(before_HW: Image, after_HW: Image, start: Image) -> float:
    return _most_changed(before_HW, take_motion_out(after_HW, refine_motion(before_HW, after_HW, start, _FINE)))


def _most_changed(before_HW: Image, after_HW: Image) -> float:
    inside = slice(_MARGIN_PX, SIDE_PX - _MARGIN_PX)
    difference = np.abs(after_HW - before_HW)[inside, inside]
    count = difference.shape[0] // BLOCK_PX
    return float(difference.reshape(count, BLOCK_PX, count, BLOCK_PX).mean((1, 3)).max())
