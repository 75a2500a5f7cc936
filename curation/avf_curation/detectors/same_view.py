"""Tells whether two pictures that are a moment apart show the same scene, so that no cut lies between them.

A picture that stands still for a moment, as in a call that stutters, hides what moved meanwhile. The next one differs
from it as much as after a cut, but its parts are still there, a little way off.
"""

import cv2
import numpy as np
import numpy.typing as npt

from avf_curation.media.types import Bytes

# Sum of two correlations. Measured on small pictures: the first one of another shot 1.58 at most, with two people of
# one corpus before one wall; a head that moved for 0.2 s 1.66 and more.
_MIN_SAME = 1.62
_WIDTH, _PARTS, _REACH = 128, 6, 8  # px of the pictures that are compared, parts per side, px that a part may move
_MIN_CONTRAST = 8.0  # grey levels of deviation: a picture that is flatter, such as black, has nothing to find again
_MIN_PART_CONTRAST = 4.0
Grey = npt.NDArray[np.float32]


def shows_same_view(before: Bytes, after: Bytes) -> bool:
    """Return whether two small BGR images (H, W, 3) show one scene a moment apart; False where their sizes differ."""
    if before.shape != after.shape:
        return False
    first, second = _grey(before, _WIDTH), _grey(after, _WIDTH)
    if min(float(first.std()), float(second.std())) < _MIN_CONTRAST:
        return False
    return _match_all(before, after) + _match_parts(first, second) >= _MIN_SAME


def _match_all(before: Bytes, after: Bytes) -> float:
    """Return the correlation of the two pictures as they are, or of the inner part where it fits best, if higher."""
    coarse = [_grey(image, _WIDTH // 4) for image in (before, after)]
    as_they_are = cv2.matchTemplate(coarse[0], coarse[1], cv2.TM_CCOEFF_NORMED)
    first, second = (_grey(image, _WIDTH // 2) for image in (before, after))
    rows, columns = (side // 8 for side in first.shape)
    inner = np.ascontiguousarray(first[rows : len(first) - rows, columns : first.shape[1] - columns])
    moved = cv2.matchTemplate(second, inner, cv2.TM_CCOEFF_NORMED)
    return float(max(as_they_are.max(), moved.max()))


def _match_parts(first: Grey, second: Grey) -> float:
    """Return the median correlation of the parts of the first picture with the second one near them."""
    height, width = (side // _PARTS for side in first.shape)
    correlations = []
    for top in range(0, height * _PARTS, height):
        for left in range(0, width * _PARTS, width):
            part = np.ascontiguousarray(first[top : top + height, left : left + width])
            if part.std() < _MIN_PART_CONTRAST:
                continue
            near = second[max(0, top - _REACH) : top + height + _REACH, max(0, left - _REACH) : left + width + _REACH]
            correlations.append(cv2.matchTemplate(np.ascontiguousarray(near), part, cv2.TM_CCOEFF_NORMED).max())
    return float(np.median(correlations)) if correlations else 0.0


def _grey(image: Bytes, width: int) -> Grey:
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    height = max(_PARTS, round(grey.shape[0] * width / grey.shape[1]))
    return cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
