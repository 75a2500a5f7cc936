"""Tells two people whom a dissolve, a wipe or a fade joins from one person who moves.

While one picture turns into another, each part of the picture is a mixture of what was there before and what comes
after. The face of one person in motion is not: a turning head passes through views that are no mixture of its first
and its last. Detectors' boxes tremble, dlib's most of all, and a window that trembles with them turns a mixture into
motion: while its centre moves little it is held still. Shapes: T frames, H height, W width, B blocks.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from avf_shards.timeline import Span

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
_CHANGED_SHARE = 0.3  # of a change; below it, a picture shows one of the two faces, which talks
MAX_DRIFT = 0.1  # of the window's side: a centre that moves no farther is held still. Measured: dlib trembles by 0.05
_MIN_QUICK_CHANGE = 0.8  # of the least change: seconds with a smaller one in a window that moves are not looked at
_BORDER_PX = 10  # of the aligned picture, which has no content beside it
_SEARCHES = (
    MotionSearch(kind=cv2.MOTION_TRANSLATION, blur_px=9, max_iterations=40, min_gain=1e-4),
    MotionSearch(kind=cv2.MOTION_AFFINE, blur_px=5, max_iterations=40, min_gain=1e-4),
)


@dataclass(frozen=True, kw_only=True)
class Blend:
    """The change of a face that a mixture of two faces explains best."""

    share: float  # of the change that the mixture explains; 0: there is no such change
    span: Span  # frames of the clip from the last one that shows the first face alone to the first of the second face


def face_pictures(frames: list[Bytes], scale: float, window: CropWindow, step: int = STEP) -> list[Picture]:
    """Return the face in every `step`-th frame, grey, (64, 64).

    frames: BGR frames, the source frames times `scale`; the window is in source pixels.
    """
    side = max(8, round(window.side_px * scale * FACE_SHARE))
    pictures = []
    for frame_HWC, (x, y) in zip(frames[::step], window.centres_T2[::step] * scale, strict=True):
        grey_HW = cv2.cvtColor(_cut_square(frame_HWC, float(x), float(y), side), cv2.COLOR_BGR2GRAY)
        pictures.append(np.asarray(cv2.resize(grey_HW, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA), np.float32))
    return pictures


def _cut_square(frame_HWC: Bytes, x: float, y: float, side: int) -> Bytes:
    """Return the square around a point, to a pixel; what lies beside the frame repeats its border."""
    left, top = round(x - side / 2), round(y - side / 2)
    if min(left, top) >= 0 and left + side <= frame_HWC.shape[1] and top + side <= frame_HWC.shape[0]:
        return frame_HWC[top : top + side, left : left + side]
    return np.asarray(cv2.getRectSubPix(frame_HWC, (side, side), (x, y)))


def find_blend(frames: list[Bytes], scale: float, window: CropWindow, min_share: float) -> Blend:
    """Return the change of a face that a mixture explains best, with where in the clip it lies.

    Its share is 0 where the face changes little within a second, or the faces are alike once they are aligned.

    Args:
        frames, scale, window: as in `face_pictures`.
        min_share: a share above which a change is one from a face to another; seconds in which the share is higher and
            that touch the best one belong to the same change.
    """
    blends = list(_blends(frames, scale, window))
    if not blends:
        return Blend(share=0.0, span=Span(0, 0))
    best, share = max(blends, key=lambda blend: blend[1])
    first = last = best
    for start in sorted((start for start, other in blends if other > min_share), key=lambda start: abs(start - best)):
        if first - LAG <= start <= last + LAG:
            first, last = min(first, start), max(last, start)
    stop = min(last + LAG + 1, len(frames))
    around = _hold_still(window, first, stop)
    start_frame, stop_frame = _edges_of_change(face_pictures(frames[first:stop], scale, around, step=1))
    return Blend(share=share, span=Span(first + start_frame, first + stop_frame))


def _hold_still(window: CropWindow, first: int, stop: int) -> CropWindow:
    """Return the window in frames `first` to `stop`, without motion where its centre moves by `MAX_DRIFT` at most."""
    centres_T2 = window.centres_T2[first:stop]
    if np.ptp(centres_T2, axis=0).max() <= MAX_DRIFT * window.side_px:
        centres_T2 = np.repeat(np.median(centres_T2, axis=0, keepdims=True), len(centres_T2), axis=0)
    return CropWindow(side_px=window.side_px, centres_T2=centres_T2)


def _blends(frames: list[Bytes], scale: float, window: CropWindow) -> Iterator[tuple[int, float]]:
    """Yield the first frame of each second in which the face changes, and the share that a mixture explains.

    A share is at least 1 - MAX_REST.
    """
    last = len(frames) - LAG - 1
    moving = face_pictures(frames, scale, window)
    for start in sorted({*range(0, last + 1, STEP), *([last] if last >= 0 else [])}):
        stop = start + LAG + 1
        if _change(moving[start // STEP], moving[(stop - 1) // STEP]) < _MIN_QUICK_CHANGE * MIN_CHANGE:
            continue
        before_HW, *between, after_HW = face_pictures(frames[start:stop], scale, _hold_still(window, start, stop))
        if _change(before_HW, after_HW) < MIN_CHANGE:
            continue
        rest = float(np.mean([_unexplained_share(before_HW, after_HW, picture_HW) for picture_HW in between]))
        if rest <= MAX_REST and _aligned_correlation(before_HW, after_HW) < MAX_CORRELATION:
            yield start, 1 - rest


def _change(first_HW: Picture, second_HW: Picture) -> float:
    """Return the mean difference of two pictures in grey levels."""
    return float(np.abs(second_HW - first_HW).mean())


def _edges_of_change(pictures: list[Picture]) -> tuple[int, int]:
    """Return the picture from which on the first face gives way, and the one from which on the last face is alone.

    What the face does while it talks is no change. Before, and behind, the pictures in which a good part of the change
    has happened, it is taken to go on as evenly as between them.
    """
    before = np.asarray([np.sqrt(((picture_HW - pictures[0]) ** 2).mean()) for picture_HW in pictures])
    behind = np.asarray([np.sqrt(((picture_HW - pictures[-1]) ** 2).mean()) for picture_HW in pictures])
    limit = _CHANGED_SHARE * before[-1]
    start, stop = int(np.argmax(before > limit)), int(np.flatnonzero(behind > limit)[-1])
    middle = (start + stop) // 2
    first = start - _frames_to_zero(before[start], before[middle], middle - start)
    last = stop + _frames_to_zero(behind[stop], behind[middle], stop - middle)
    return max(0, first), min(len(pictures), last + 1)


def _frames_to_zero(near: float, far: float, frames: int) -> int:
    """Return how many frames after `near`, which is `frames` after `far`, a value that falls evenly is zero."""
    return int(np.ceil(near * frames / (far - near))) + 1 if far > near else 1


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
