"""How much two grey pictures differ in each block of them.

Shapes: H height, W width, R rows and C columns of blocks.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from avf_curation.media.types import Bytes

_EXACT_BELOW = 2**24  # whole numbers that 32-bit floating point holds


def change_by_block(before_HW: Bytes, after_HW: Bytes, rows: int, columns: int) -> npt.NDArray[np.float64]:
    """Return the mean absolute difference of two 8-bit pictures in each block, in grey levels, (R, C).

    The sums are exact: matrix products add whole numbers that their type holds.

    Args:
        before_HW: one picture.
        after_HW: another one, of the same size.
        rows: of pixels in a block; what is left at the lower border does not count.
        columns: of pixels in a block; what is left at the right border does not count.
    """
    number_type = np.float32 if 255 * rows * columns < _EXACT_BELOW else np.float64
    change_HW = (np.maximum(before_HW, after_HW) - np.minimum(before_HW, after_HW)).astype(number_type)
    height, width = change_HW.shape
    sums_RC = _members(height, rows, number_type) @ change_HW @ _members(width, columns, number_type).T
    means_RC: npt.NDArray[np.float64] = sums_RC.astype(np.float64) / (rows * columns)
    return means_RC


@lru_cache(maxsize=16)
def _members(length: int, block: int, number_type: type[np.floating[Any]]) -> npt.NDArray[Any]:
    """Return which pixels of a side belong to which block: (blocks, pixels), 1 or 0."""
    is_member = np.arange(length) // block == np.arange(length // block)[:, None]
    return np.asarray(is_member, number_type)
