"""Numbers in the files of corpora: what can be one is bounded, so that no arithmetic behind it overflows."""

import math
from collections.abc import Iterable

from avf_shards.schema.labels import Box4

_MAX_EDGE_PX = 1e6  # a box may reach over the border, and no picture has so many pixels a side
_MAX_TIME_S = 1e7  # four months; no recording is so long


def parse_number(value: object, low: float = -math.inf, high: float = math.inf) -> float | None:
    """Return a finite number from `low` to `high`, or None for anything else.

    Args:
        value: a text, or a number of any library.
    """
    try:
        number = float(value)  # type: ignore[arg-type]  # what is no number raises
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and low <= number <= high else None


def parse_box(edges_px: Iterable[object]) -> Box4 | None:
    """Return (left, top, right, bottom) of a face in pixels, or None where the four values cannot be its edges."""
    numbers = [parse_number(edge, -_MAX_EDGE_PX, _MAX_EDGE_PX) for edge in edges_px]
    if len(numbers) != 4 or None in numbers:
        return None
    left, top, right, bottom = (number for number in numbers if number is not None)
    return (left, top, right, bottom) if left < right and top < bottom else None


def is_part_of_recording(start_s: float, stop_s: float) -> bool:
    """Return whether two numbers are the start and the end of a part of a recording."""
    return parse_number(start_s) is not None and 0 <= start_s < stop_s <= _MAX_TIME_S
