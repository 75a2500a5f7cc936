"""When a mouth is open: the area between the lips, and a rule that is relative to the track of a person."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from avf_training.evaluation.metrics import Floats

SMOOTHED_ROWS = 30  # trailing mean of the area, in detected frames


@dataclass(frozen=True, kw_only=True)
class LipContour:
    """Indices of landmarks along the inner lips, from one corner of the mouth to the other."""

    upper: tuple[int, ...]
    lower: tuple[int, ...]  # as many, with the same corners


FACE_MESH_LIPS = LipContour(
    upper=(78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 78),
    lower=(78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 78),
)
"""Of the 478 landmarks of MediaPipe; the contour returns to its first corner, as in SUN's code."""

DLIB_LIPS = LipContour(upper=(60, 61, 62, 63, 64), lower=(60, 67, 66, 65, 64))
"""Of dlib's 68 landmarks. Areas of both kinds are not comparable, which the relative rule does not ask for."""


def mouth_area(landmarks_NPD: Floats, contour: LipContour) -> Floats:
    """Return the area between the lips in squared units of the landmarks, (N,).

    Args:
        landmarks_NPD: x, y and possibly more coordinates of P landmarks in N frames.
    """
    upper_NQ2, lower_NQ2 = (landmarks_NPD[:, list(lip), :2] for lip in (contour.upper, contour.lower))
    first = _triangle_areas(upper_NQ2[:, :-1], lower_NQ2[:, :-1], upper_NQ2[:, 1:])
    second = _triangle_areas(lower_NQ2[:, 1:], lower_NQ2[:, :-1], upper_NQ2[:, 1:])
    return np.asarray((first + second).sum(1))


def _triangle_areas(a_NQ2: Floats, b_NQ2: Floats, c_NQ2: Floats) -> Floats:
    doubled = sum(
        (p[..., 0] - q[..., 0]) * (p[..., 1] + q[..., 1]) for p, q in ((a_NQ2, b_NQ2), (b_NQ2, c_NQ2), (c_NQ2, a_NQ2))
    )
    return np.asarray(0.5 * np.abs(doubled))


def open_mouth(area_N: Floats) -> npt.NDArray[np.bool_]:
    """Return in which detected frames of a track the mouth is open: the trailing mean of 30 is above the track's mean.

    The first 29 frames have no such mean and are closed.
    """
    open_N = np.zeros(len(area_N), bool)
    if len(area_N) >= SMOOTHED_ROWS:
        open_N[SMOOTHED_ROWS - 1 :] = sliding_window_view(area_N, SMOOTHED_ROWS).mean(1) > area_N.mean()
    return open_N
