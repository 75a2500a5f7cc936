"""Watermarks and burnt-in text: edges that stay put while the picture around them moves.

Where nothing moves, background and overlay look alike: then there is no evidence either way. Shapes: T pictures.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from avf_curation.media import Bytes

STRONG = 8.0  # grey levels per pixel: an edge a viewer sees
STEADY = 0.35  # deviation of the gradient over time, as a share of its mean
MOVING = 6.0  # standard deviation of a pixel over time, in grey levels
AROUND = 13  # pixels: the neighbourhood that must move
MIN_MOVING_BORDER = 0.1  # share of the border zone that must move before its silence means anything
BORDER, CORNER, ROWS = 0.15, 0.28, (0.2, 0.65)  # zones, as shares of the picture's sides


@dataclass(frozen=True)
class Overlay:
    """The strongest overlay found: edge pixels in it (at the analysed size) and its box, left, top, width, height."""

    edge_px: int
    box: tuple[int, int, int, int] | None


def find(pictures_THW: Sequence[Bytes]) -> Overlay | None:
    """The strongest overlay in corners, borders and text-like rows of pictures of one size. None: too little moves."""
    stack = np.stack(pictures_THW).astype(np.float32)
    gx = np.stack([cv2.Sobel(p, cv2.CV_32F, 1, 0) for p in stack]) / 8
    gy = np.stack([cv2.Sobel(p, cv2.CV_32F, 0, 1) for p in stack]) / 8
    mean_x, mean_y = gx.mean(0), gy.mean(0)
    strength = np.hypot(mean_x, mean_y)
    spread = np.sqrt(((gx - mean_x) ** 2 + (gy - mean_y) ** 2).mean(0))
    steady = (strength > STRONG) & (spread < STEADY * strength)
    moving = stack.std(0) > MOVING
    if moving[_border(*moving.shape)].mean() < MIN_MOVING_BORDER:
        return None
    return _strongest(_in_motion(steady, moving))


def _in_motion(steady: npt.NDArray[np.bool_], moving: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Steady edges most of whose neighbourhood moves. Pixels next to a steady edge are not asked."""
    free = cv2.dilate(steady.astype(np.uint8), np.ones((3, 3))) == 0
    asked = cv2.boxFilter(free.astype(np.float32), -1, (AROUND, AROUND), normalize=False)
    move = cv2.boxFilter((free & moving).astype(np.float32), -1, (AROUND, AROUND), normalize=False)
    return steady & (asked > AROUND) & (move > 0.5 * asked)


def _strongest(edges: npt.NDArray[np.bool_]) -> Overlay:
    height, width = edges.shape
    joined = cv2.morphologyEx(edges.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((7, 15)))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined)
    best = Overlay(0, None)
    for label in range(1, count):
        left, top, w, h = (int(v) for v in stats[label][:4])
        pixels = int(((labels == label) & edges).sum())
        if pixels > best.edge_px and _placed((left + w / 2) / width, (top + h / 2) / height, w / width, h / height):
            best = Overlay(pixels, (left, top, w, h))
    return best


def _placed(x: float, y: float, w: float, h: float) -> bool:
    """Where overlays are: in a corner, along the upper or lower border, or a row of text; never most of the picture."""
    if w * h > 0.3 or h > 0.4:
        return False
    corner = min(x, 1 - x) < CORNER and min(y, 1 - y) < CORNER
    border = min(y, 1 - y) < BORDER
    row = w > 3 * h and not ROWS[0] <= y <= ROWS[1]
    return corner or border or row


def _border(height: int, width: int) -> npt.NDArray[np.bool_]:
    """The zone where overlays are looked for."""
    zone = np.ones((height, width), bool)
    zone[int(CORNER * height) : int((1 - CORNER) * height), :] = False
    return zone
