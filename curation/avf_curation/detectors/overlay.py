"""Watermarks and burnt-in text: edges that stay put while the image around them moves, and run in many directions.

The edge of a letterbox, of a window or of a picture's frame stays put too, but is one straight line. A star or a small
picture on the wall is none, so the image around an edge must move for a good part of the time, and not merely because
the exposure changes, a head passes once, or the camera trembles by less than an edge is wide. Where nothing moves,
background and overlay look alike, and no verdict is possible. Shapes: T frames, H height, W width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from avf_curation.media.types import Bytes

Mask = npt.NDArray[np.bool_]
GreyImage = npt.NDArray[np.float32]
MIN_MEAN_EDGE = 8.0  # grey levels per pixel, mean over time: an edge that a viewer sees
MIN_EDGE = 4.0  # grey levels per pixel in one frame: an overlay fades where the background has its colour
MIN_STEADINESS = 0.95  # share of the frames that have the edge, and agreement of its directions (1: all the same)
MIN_MOTION = 6.0  # grey levels: standard deviation over time of a pixel that moves at all
MIN_SPREAD = 8.0  # grey levels between the quantiles of a pixel over time, where the image moves around an edge
SPREAD_QUANTILE = 0.2  # and one minus it: what passes in less than a fifth of the time does not count
TREMBLING_PX = 3.0  # a camera that moves by less, between quartiles of time, leaves the scene's own edges in place
MAX_SHIFT_PX = 12.0  # a camera's motion between two frames beyond this is taken for an error of its estimate
DARK_LEVEL = 30.0  # grey levels: darker pixels tell no exposure
EXPOSURE_FRAMES = 15  # frames whose median is the reference of exposure
EXPOSURE_PX = 20_000  # pixels that tell the exposure without a choice of them: a dark scene has few
NEIGHBOURHOOD_PX = 13  # side of the square around an edge that must move
MIN_MOVING_SHARE = 0.5  # share of the image that must move: a still camera's background stays put as an overlay does
MIN_DIRECTIONS = 0.3  # 1 - |mean exp(2ia)| over the edges' angles a: 0 for a line; measured: logos 0.67, text 0.75
LINE_PX = 25  # longer straight edges along rows or columns belong to no letter
BORDER, CORNER, NO_TEXT_ROWS = 0.15, 0.28, (0.2, 0.65)  # zones of the image, as shares of its sides


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """The strongest overlay of a clip."""

    edge_px: int  # edge pixels of the overlay, at the analysed size; 0: there is none
    box: tuple[int, int, int, int] | None  # left, top, width, height in analysed pixels; None: there is none


def find_overlay(frames_THW: Sequence[Bytes]) -> Overlay | None:
    """Return the strongest overlay in corners, borders and rows of text, or None if too little of the image moves.

    frames_THW: grey frames of one size.
    """
    stack_THW = _with_equal_exposure(np.stack(frames_THW).astype(np.float32))
    if np.asarray(stack_THW.std(0) > MIN_MOTION).mean() < MIN_MOVING_SHARE:
        return None
    steady_HW, orientation_HW = _steady_edges(stack_THW)

    def search(spread_HW: GreyImage) -> Overlay:
        edges_HW = _edges_in_motion(steady_HW, np.asarray(spread_HW > MIN_SPREAD))
        return _strongest_overlay(_without_long_lines(edges_HW), orientation_HW)

    spread_HW = _spread_over_time(stack_THW)
    overlay = search(spread_HW)
    if overlay.edge_px == 0 or (steadied_THW := _without_trembling(stack_THW)) is None:
        return overlay
    return search(np.minimum(spread_HW, _spread_over_time(steadied_THW)))


def _with_equal_exposure(stack_THW: GreyImage) -> GreyImage:
    """Return the frames, each divided by its brightness relative to the clip's."""
    chosen_PT = _sort_over_time(stack_THW[:: max(1, len(stack_THW) // EXPOSURE_FRAMES)])
    count = chosen_PT.shape[1]
    reference_HW = chosen_PT[:, (count - 1) // 2 : count // 2 + 1].mean(axis=1).reshape(stack_THW.shape[1:])
    lit = np.flatnonzero(reference_HW > DARK_LEVEL)
    if len(lit) == 0:
        return stack_THW
    if len(lit) > EXPOSURE_PX:  # of so many, every fifth gives the same median to a thousandth
        lit = lit[::5]
    ratios = stack_THW.reshape(len(stack_THW), -1)[:, lit] / reference_HW.ravel()[lit]
    gains_T = np.clip(np.median(ratios, axis=1), 0.5, 2.0)
    return np.asarray(stack_THW / gains_T[:, None, None], np.float32)


def _spread_over_time(stack_THW: GreyImage) -> GreyImage:
    """Return the range of each pixel over time without the ends that rare events reach, in grey levels, (H, W)."""
    low = int(len(stack_THW) * SPREAD_QUANTILE)
    high = len(stack_THW) - 1 - low
    ordered_PT = _sort_over_time(np.clip(stack_THW, 0, 255))
    return np.asarray(ordered_PT[:, high] - ordered_PT[:, low]).reshape(stack_THW.shape[1:])


def _sort_over_time(stack_THW: GreyImage) -> GreyImage:
    """Return the levels of each pixel in order, (H W, T): rows of memory are sorted four times as fast as columns."""
    return np.sort(np.ascontiguousarray(stack_THW.reshape(len(stack_THW), -1).T), axis=1)


def _without_trembling(stack_THW: GreyImage) -> GreyImage | None:
    """Return the frames moved to where the camera was in the middle; None where it moves so far that edges would go."""
    height, width = stack_THW.shape[1:]
    window_HW = cv2.createHanningWindow((width, height), cv2.CV_32F)
    middle_HW = stack_THW[len(stack_THW) // 2]
    # Copies: the function multiplies its arguments by the window.
    shifts_T2 = np.array([cv2.phaseCorrelate(middle_HW.copy(), frame.copy(), window_HW)[0] for frame in stack_THW])
    if np.ptp(np.percentile(shifts_T2, (25, 75), axis=0), axis=0).max() >= TREMBLING_PX:
        return None
    shifts_T2 = np.clip(shifts_T2 - np.median(shifts_T2, axis=0), -MAX_SHIFT_PX, MAX_SHIFT_PX)
    return np.stack(
        [
            cv2.warpAffine(frame, np.array([[1, 0, -x], [0, 1, -y]]), (width, height), borderMode=cv2.BORDER_REPLICATE)
            for frame, (x, y) in zip(stack_THW, shifts_T2, strict=True)
        ]
    )


def _steady_edges(stack_THW: GreyImage) -> tuple[Mask, npt.NDArray[np.complex64]]:
    """Return the edges that nearly every frame has, in the same direction, (H, W), and exp(2ia) of their angles a.

    The direction counts, not the contrast, which changes with the background behind the overlay.
    """
    gx = np.stack([cv2.Sobel(frame, cv2.CV_32F, 1, 0) for frame in stack_THW]) / 8
    gy = np.stack([cv2.Sobel(frame, cv2.CV_32F, 0, 1) for frame in stack_THW]) / 8
    size = np.hypot(gx, gy)
    lasting = (size > MIN_EDGE).mean(0) >= MIN_STEADINESS
    size = np.maximum(size, 1e-3)
    one_way = np.hypot((gx / size).mean(0), (gy / size).mean(0)) >= MIN_STEADINESS
    direction_HW = (gx / size).mean(0) + 1j * (gy / size).mean(0)
    orientation_HW = (direction_HW / np.maximum(np.abs(direction_HW), 1e-3)) ** 2
    return np.asarray(lasting & one_way & (size.mean(0) > MIN_MEAN_EDGE)), orientation_HW.astype(np.complex64)


def _edges_in_motion(steady_HW: Mask, moving_HW: Mask) -> Mask:
    """Return the steady edges whose neighbourhood moves for the most part, (H, W).

    Pixels next to a steady edge do not count: the edge keeps them still.
    """
    free_HW = (cv2.dilate(steady_HW.astype(np.uint8), np.ones((3, 3))) == 0).astype(np.float32)
    square = NEIGHBOURHOOD_PX, NEIGHBOURHOOD_PX
    counted_HW = cv2.boxFilter(free_HW, -1, square, normalize=False)
    moving_count_HW = cv2.boxFilter(free_HW * moving_HW, -1, square, normalize=False)
    return np.asarray(steady_HW & (counted_HW > NEIGHBOURHOOD_PX) & (moving_count_HW > 0.5 * counted_HW))


def _without_long_lines(edges_HW: Mask) -> Mask:
    """Return the edges without those that run straight along a row or a column, as the edge of a letterbox does.

    A logo beside such a line would else be one group with the line.
    """
    edges = edges_HW.astype(np.uint8)
    along_rows = cv2.morphologyEx(edges, cv2.MORPH_OPEN, np.ones((1, LINE_PX), np.uint8))
    along_columns = cv2.morphologyEx(edges, cv2.MORPH_OPEN, np.ones((LINE_PX, 1), np.uint8))
    return np.asarray(edges_HW & (along_rows == 0) & (along_columns == 0))


def _strongest_overlay(edges_HW: Mask, orientation_HW: npt.NDArray[np.complex64]) -> Overlay:
    """Return the largest group of edges that lies where overlays lie and runs in many directions."""
    height, width = edges_HW.shape
    # Closing joins the strokes of letters to words; text is wider than high, and so is the element.
    groups_HW = cv2.morphologyEx(edges_HW.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((7, 15)))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(groups_HW)
    best = Overlay(edge_px=0, box=None)
    for label in range(1, count):
        left, top, w, h = (int(v) for v in stats[label][:4])
        group_HW = (labels == label) & edges_HW
        pixels = int(group_HW.sum())
        if pixels <= best.edge_px or 1 - abs(orientation_HW[group_HW].mean()) < MIN_DIRECTIONS:
            continue
        if _lies_like_an_overlay(left / width, top / height, w / width, h / height):
            best = Overlay(edge_px=pixels, box=(left, top, w, h))
    return best


def _lies_like_an_overlay(left: float, top: float, w: float, h: float) -> bool:
    """Return whether a box is in a corner, at the upper or lower border, or a row of text, and not most of the image.

    left, top, w, h: as shares of the image's sides.
    """
    x, y = left + w / 2, top + h / 2
    if w * h > 0.3 or h > 0.4:
        return False
    corner = min(x, 1 - x) < CORNER and min(y, 1 - y) < CORNER
    border = min(y, 1 - y) < BORDER
    row = w > 3 * h and not NO_TEXT_ROWS[0] <= y <= NO_TEXT_ROWS[1]
    return corner or border or row
