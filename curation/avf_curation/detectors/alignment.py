"""Finds the motion between two pictures and takes it out, by the enhanced correlation coefficient.

G. Evangelidis and E. Psarakis, "Parametric image alignment using enhanced correlation coefficient maximization", 2008.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class MotionSearch:
    """How a motion is searched for."""

    kind: int  # cv2.MOTION_TRANSLATION or cv2.MOTION_AFFINE
    blur_px: int  # width of the Gaussian filter before the search; wider finds larger motions, less exactly
    max_iterations: int
    min_gain: float  # of the correlation in one iteration, below which the search ends


def refine_motion(before_HW: Image, after_HW: Image, start: Image, search: MotionSearch) -> Image:
    """Return the motion from one picture to another as an affine matrix (2, 3).

    Where the search does not converge, that is `start`.

    Args:
        start: the matrix at which the search begins.
    """
    flags = cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS
    try:
        _, motion = cv2.findTransformECC(  # type: ignore[call-overload]  # the stub knows no inputMask of None here
            before_HW,
            after_HW,
            start.copy(),
            motionType=search.kind,
            criteria=(flags, search.max_iterations, search.min_gain),
            inputMask=None,
            gaussFiltSize=search.blur_px,
        )
    except cv2.error:  # it does not converge: the pictures have too little in common
        return start
    return np.asarray(motion, np.float32)


def take_motion_out(after_HW: Image, motion: Image) -> Image:
    """Return the second picture as it would look without the motion; its border is repeated."""
    height, width = after_HW.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    aligned_HW = cv2.warpAffine(after_HW, motion, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(aligned_HW, np.float32)
