"""Watermarks and burnt-in text: edges that stay put while the picture around them moves.

Where nothing moves, background and overlay look alike: then there is no evidence either way. Shapes: T pictures.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from avf_curation.media.types import Bytes

Mask = npt.NDArray[np.bool_]
STRONG = 8.0  # grey levels per pixel: an edge a viewer sees
WEAK = 4.0  # and what still counts where the overlay meets a background of its own colour
NEARLY = 0.95  # share of the pictures that an edge must be in, and how alike its directions must be (1 = the same)
MOVING = 6.0  # standard deviation of a pixel over time, in grey levels
AROUND = 13  # pixels: the neighbourhood that must move
MIN_MOVING = 0.5  # share of the picture that must move: a still camera's background stays put as an overlay does
BORDER, CORNER, ROWS = 0.15, 0.28, (0.2, 0.65)  # zones, as shares of the picture's sides


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """The strongest overlay found: edge pixels in it (at the analysed size) and its box, left, top, width, height."""

    edge_px: int
    box: tuple[int, int, int, int] | None


def find_overlay(pictures_THW: Sequence[Bytes]) -> Overlay | None:
    """The strongest overlay in corners, borders and text-like rows of pictures of one size. None: too little moves."""
    stack = np.stack(pictures_THW).astype(np.float32)
    moving = np.asarray(stack.std(0) > MOVING)
    if moving.mean() < MIN_MOVING:
        return None
    return _strongest(_in_motion(_steady(stack), moving))


def _steady(stack_THW: npt.NDArray[np.float32]) -> Mask:
    """Edges that are there in nearly every picture and point the same way, whatever the contrast to what is behind."""
    gx = np.stack([cv2.Sobel(p, cv2.CV_32F, 1, 0) for p in stack_THW]) / 8
    gy = np.stack([cv2.Sobel(p, cv2.CV_32F, 0, 1) for p in stack_THW]) / 8
    size = np.hypot(gx, gy)
    there = (size > WEAK).mean(0) >= NEARLY
    size = np.maximum(size, 1e-3)
    one_way = np.hypot((gx / size).mean(0), (gy / size).mean(0)) >= NEARLY
    return np.asarray(there & one_way & (size.mean(0) > STRONG))


def _in_motion(steady: Mask, moving: Mask) -> Mask:
    """Steady edges most of whose neighbourhood moves. Pixels next to a steady edge are not asked."""
    free = (cv2.dilate(steady.astype(np.uint8), np.ones((3, 3))) == 0).astype(np.float32)
    asked = cv2.boxFilter(free, -1, (AROUND, AROUND), normalize=False)
    move = cv2.boxFilter(free * moving, -1, (AROUND, AROUND), normalize=False)
    return np.asarray(steady & (asked > AROUND) & (move > 0.5 * asked))


def _strongest(edges: Mask) -> Overlay:
    """The largest group of edges that is placed like an overlay."""
    height, width = edges.shape
    joined = cv2.morphologyEx(edges.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((7, 15)))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined)
    best = Overlay(edge_px=0, box=None)
    for label in range(1, count):
        left, top, w, h = (int(v) for v in stats[label][:4])
        pixels = int(((labels == label) & edges).sum())
        if pixels > best.edge_px and _placed(left / width, top / height, w / width, h / height):
            best = Overlay(edge_px=pixels, box=(left, top, w, h))
    return best


def _placed(left: float, top: float, w: float, h: float) -> bool:
    """Where overlays are: in a corner, along the upper or lower border, or a row of text; never most of the picture."""
    x, y = left + w / 2, top + h / 2
    if w * h > 0.3 or h > 0.4:
        return False
    corner = min(x, 1 - x) < CORNER and min(y, 1 - y) < CORNER
    border = min(y, 1 - y) < BORDER
    row = w > 3 * h and not ROWS[0] <= y <= ROWS[1]
    return corner or border or row
