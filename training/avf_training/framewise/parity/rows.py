"""What the comparisons of this folder share: an oracle's numbers, and the row of one group of them."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from avf_training.conversion.parity import ParityRow

OracleNumbers = Mapping[str, Any]
"""The arrays of a .npz file, or the values of a .json file, by name."""

Pair = tuple[str, npt.ArrayLike, npt.ArrayLike]
"""(name of the number in the file, ours, theirs)."""


def compare_pairs(
    file: str, group: str, pairs: Iterable[Pair], tolerance: float, precision: str = "float64"
) -> ParityRow:
    """Return the worst |ours - theirs| / max(1, |theirs|) of a group; another shape is infinitely wrong."""
    worst, where, numbers = 0.0, "", 0
    for name, ours, theirs in pairs:
        our_numbers, their_numbers = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
        numbers += their_numbers.size
        if our_numbers.shape != their_numbers.shape:
            difference = float("inf")
        else:
            scale = np.maximum(1.0, np.abs(their_numbers))
            difference = float(np.max(np.abs(our_numbers - their_numbers) / scale, initial=0.0))
        if not difference <= worst:  # nan counts as worse
            worst, where = difference, name
    return ParityRow(
        file=file,
        precision=precision,
        group=group,
        numbers=numbers,
        worst=worst,
        tolerance=tolerance,
        where=where,
    )


def compare_equal(file: str, group: str, pairs: Iterable[tuple[str, object, object]]) -> ParityRow:
    """Return the share of values, such as names and indices, that differ at all; none may."""
    checked = [(name, ours == theirs) for name, ours, theirs in pairs]
    different = [name for name, equal in checked if not equal]
    return ParityRow(
        file=file,
        precision="exact",
        group=group,
        numbers=len(checked),
        worst=len(different) / max(1, len(checked)),
        tolerance=0.0,
        where=different[0] if different else "",
    )
