"""Watermarks and burnt-in text: edges that stay put while the image around them moves, and run in many directions.

The edge of a letterbox, of a window or of a picture's frame stays put too, but is one straight line. Where nothing
moves, background and overlay look alike, and no verdict is possible. Shapes: T frames, H height, W width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from avf_curation.media.types import Bytes

Mask = npt.NDArray[np.bool_]
MIN_MEAN_EDGE = 8.0  # grey levels per pixel, mean over time: an edge that a viewer sees
MIN_EDGE = 4.0  # grey levels per pixel in one frame: an overlay fades where the background has its colour
MIN_STEADINESS = 0.95  # share of the frames that have the edge, and agreement of its directions (1: all the same)
MIN_MOTION = 6.0  # grey levels: standard deviation over time of a pixel that moves
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
    stack_THW = np.stack(frames_THW).astype(np.float32)
    moving_HW = np.asarray(stack_THW.std(0) > MIN_MOTION)
    if moving_HW.mean() < MIN_MOVING_SHARE:
        return None
    steady_HW, orientation_HW = _steady_edges(stack_THW)
    return _strongest_overlay(_without_long_lines(_edges_in_motion(steady_HW, moving_HW)), orientation_HW)


def _steady_edges(stack_THW: npt.NDArray[np.float32]) -> tuple[Mask, npt.NDArray[np.complex64]]:
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
