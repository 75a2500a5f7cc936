"""The rounding of the frame-level side: halves go away from zero, as people round, and not to the even neighbour."""

import math


def round_half_away(value: float) -> int:
    """Return the nearest integer; 2.5 becomes 3 and -1.5 becomes -2."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))
