"""Smoothing of curves over training steps: a local linear fit, which has no ramp at the start and no lag.

A running mean lags behind a falling loss and starts at an arbitrary value. Here the window of each point grows with its
step, because losses change fast first and slowly later, and a line is fitted in the window, which at both ends of the
curve continues what the data do.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_GROWTH, _MAX_SHARE = 0.2, 0.05  # half a window, as a share of the points before it and of all points
_MAX_POINTS = 400  # of a drawn curve; more are not seen on a screen


def thin(count: int) -> npt.NDArray[np.int64]:
    """Return the indices of at most 400 of `count` points, spread evenly, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, _MAX_POINTS)).round().astype(np.int64))


def smooth_curve(values: Sequence[float]) -> tuple[list[int], list[float]]:
    """Return the indices of at most 400 points and the smoothed values there; the first is the value itself."""
    y = np.asarray(values, float)
    indices = thin(len(y)) if len(y) else np.zeros(0, np.int64)
    return indices.tolist(), [_fit(y, int(index)) for index in indices]


def _fit(y: npt.NDArray[np.float64], index: int) -> float:
    half = min(_GROWTH * index, max(2.0, _MAX_SHARE * len(y)))
    if half < 1:
        return float(y[index])
    near = np.arange(max(0, int(index - half)), min(len(y), int(index + half) + 1))
    offsets = (near - index).astype(float)
    weights = (1 - np.abs(offsets / (half + 1)) ** 3) ** 3  # tricube, as in LOWESS
    total, first, second = weights.sum(), (weights * offsets).sum(), (weights * offsets**2).sum()
    spread = total * second - first**2
    if spread < 1e-9 * total * max(second, 1.0):
        return float((weights * y[near]).sum() / total)
    values, slopes = (weights * y[near]).sum(), (weights * offsets * y[near]).sum()
    return float((second * values - first * slopes) / spread)  # the fitted line at the point
