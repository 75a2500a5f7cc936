"""Tells two people whom a dissolve, a wipe or a fade joins from one person who moves.

While one picture turns into another, each part of the picture is a mixture of what was there before and what comes
after. The face of one person in motion is not: a turning head passes through views that are no mixture of its first
and its last. Shapes: T frames, H height, W width, B blocks.
"""

import cv2
import numpy as np

from avf_curation.detectors.alignment import Image as Picture
from avf_curation.detectors.alignment import MotionSearch, refine_motion, take_motion_out
from avf_curation.media.types import Bytes
from avf_curation.stages.tracking import CropWindow

SIDE_PX, BLOCK_PX = 64, 8  # of the compared pictures and of their blocks
FACE_SHARE = 0.75  # of the crop's side: the face without the background around it
LAG, STEP = 25, 5  # frames between two compared pictures, and between two comparisons
MIN_CHANGE = 12.0  # grey levels: measured: dissolves change a face by 24 and more, most talking by less than 12
MAX_CORRELATION = 0.75  # of the aligned faces; measured: two people at most 0.62, one person who does not turn 0.8
# Share of the change that no mixture explains, above which the faces are not aligned: talkers exceed 0.11.
MAX_REST = 0.3
_BORDER_PX = 10  # of the aligned picture, which has no content beside it
_SEARCHES = (
    MotionSearch(kind=cv2.MOTION_TRANSLATION, blur_px=9, max_iterations=40, min_gain=1e-4),
    MotionSearch(kind=cv2.MOTION_AFFINE, blur_px=5, max_iterations=40, min_gain=1e-4),
)


def face_pictures(frames: list[Bytes], scale: float, window: CropWindow) -> list[Picture]:
    """Return the face in every fifth frame, grey, (64, 64).

    frames: BGR frames, the source frames times `scale`; the window is in source pixels.
    """
    side = max(8, round(window.side_px * scale * FACE_SHARE))
    pictures = []
    for frame_HWC, (x, y) in zip(frames[::STEP], window.centres_T2[::STEP] * scale, strict=True):
        face_HWC = cv2.getRectSubPix(frame_HWC, (side, side), (float(x), float(y)))
        grey_HW = cv2.cvtColor(face_HWC, cv2.COLOR_BGR2GRAY)
        pictures.append(np.asarray(cv2.resize(grey_HW, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA), np.float32))
    return pictures


def blend_share(pictures: list[Picture]) -> float:
    """Return which share of a change from one face to another a mixture of the two explains, the largest in the clip.

    0 where the face changes little within a second, or the faces are alike once they are aligned.
    """
    lag = LAG // STEP
    largest = 0.0
    for start in range(len(pictures) - lag):
        before_HW, *between, after_HW = pictures[start : start + lag + 1]
        if np.abs(after_HW - before_HW).mean() < MIN_CHANGE:
            continue
        rest = float(np.mean([_unexplained_share(before_HW, after_HW, picture_HW) for picture_HW in between]))
        if rest <= MAX_REST and 1 - rest > largest and _aligned_correlation(before_HW, after_HW) < MAX_CORRELATION:
            largest = 1 - rest
    return largest


def _unexplained_share(before_HW: Picture, after_HW: Picture, between_HW: Picture) -> float:
    """Return the energy that the best mixture in each block leaves, over the energy of the whole change."""
    first_BP, last_BP, middle_BP = (_blocks(picture_HW) for picture_HW in (before_HW, after_HW, between_HW))
    change_BP, reached_BP = last_BP - first_BP, middle_BP - first_BP
    shares_B = np.clip((reached_BP * change_BP).sum(1) / ((change_BP**2).sum(1) + 1e-3), 0, 1)
    rest_BP = reached_BP - shares_B[:, None] * change_BP
    return float((rest_BP**2).sum() / ((change_BP**2).sum() + 1e-3))


def _blocks(picture_HW: Picture) -> Picture:
    count = SIDE_PX // BLOCK_PX
    return picture_HW.reshape(count, BLOCK_PX, count, BLOCK_PX).transpose(0, 2, 1, 3).reshape(count * count, -1)


def _aligned_correlation(first_HW: Picture, second_HW: Picture) -> float:
    """Return the correlation of two pictures, as they are or after an affine motion, whichever is higher."""
    motion = np.eye(2, 3, dtype=np.float32)
    for search in _SEARCHES:
        motion = refine_motion(first_HW, second_HW, motion, search)
    aligned_HW = take_motion_out(second_HW, motion)
    inside = slice(_BORDER_PX, SIDE_PX - _BORDER_PX)
    return max(_correlation(first_HW[inside, inside], other_HW[inside, inside]) for other_HW in (second_HW, aligned_HW))


def _correlation(first_HW: Picture, second_HW: Picture) -> float:
    first_HW, second_HW = first_HW - first_HW.mean(), second_HW - second_HW.mean()
    return float((first_HW * second_HW).sum() / np.sqrt((first_HW**2).sum() * (second_HW**2).sum() + 1e-6))
