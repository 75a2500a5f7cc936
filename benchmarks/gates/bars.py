"""Draws letterboxes around films: bars of one colour, and bars that show the picture itself, enlarged and blurred.

Shapes: T frames, H height, W width, C = 3 channels (BGR).
"""

from collections.abc import Callable

import cv2
import numpy as np
from avf_curation.media.types import Bytes

Backdrop = Callable[[Bytes, int, int, float], Bytes]
"""Picture, width and height of the frame, and sigma of a blur in pixels -> what the bars are cut from."""


def draw_bars(frames_THWC: Bytes, kind: str, seed: int) -> Bytes:
    """Return frames whose middle is shown between two bars, at the sides or above and below.

    Args:
        kind: one of BARS.
        seed: of the side, the width (10 to 30 % of the frame each) and the blur (sigma of 8 to 40 px in 1280).
    """
    draw = np.random.default_rng(seed)
    is_upright = bool(draw.integers(2))
    frames = frames_THWC.transpose(0, 2, 1, 3) if is_upright else frames_THWC
    _, height, width, _ = frames.shape
    bar = round(width * draw.uniform(0.1, 0.3))
    sigma_px = draw.uniform(8, 40) * max(width, height) / 1280
    boxed = []
    for frame_HWC in frames:
        inner_HWC = np.ascontiguousarray(frame_HWC[:, bar : width - bar])
        boxed_HWC = _BACKDROPS[kind](inner_HWC, width, height, sigma_px)
        boxed_HWC[:, bar : width - bar] = inner_HWC
        boxed.append(boxed_HWC)
    boxed_THWC = np.stack(boxed)
    return np.ascontiguousarray(boxed_THWC.transpose(0, 2, 1, 3) if is_upright else boxed_THWC)


def _plain(level: int) -> Backdrop:
    return lambda _inner, width, height, _sigma: np.full((height, width, 3), level, np.uint8)


def _enlarged(inner_HWC: Bytes, width: int, height: int, sigma_px: float) -> Bytes:
    """Return the picture enlarged alike in both directions until it fills the frame, and blurred."""
    high = round(inner_HWC.shape[0] * width / inner_HWC.shape[1])
    top = (high - height) // 2
    wide_HWC = cv2.resize(inner_HWC, (width, high), interpolation=cv2.INTER_CUBIC)[top : top + height]
    return np.asarray(cv2.GaussianBlur(wide_HWC, (0, 0), sigma_px), np.uint8)


def _darkened(inner_HWC: Bytes, width: int, height: int, sigma_px: float) -> Bytes:
    return np.asarray(np.round(0.7 * _enlarged(inner_HWC, width, height, sigma_px)), np.uint8)


def _stretched(inner_HWC: Bytes, width: int, height: int, sigma_px: float) -> Bytes:
    wide_HWC = cv2.resize(inner_HWC, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.GaussianBlur(wide_HWC, (0, 0), sigma_px), np.uint8)


_BACKDROPS: dict[str, Backdrop] = {
    "black bars": _plain(0),
    "white bars": _plain(235),
    "bars of a blurred copy": _enlarged,
    "bars of a darkened blurred copy": _darkened,
    "bars of a stretched blurred copy": _stretched,
}
BARS = tuple(_BACKDROPS)
