"""How the probabilities of a fake of a file's windows become the probability of the file.

Shapes: V windows.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

Pool = Literal["mean", "max", "top2", "noisy_or"]
POOLS: tuple[Pool, ...] = get_args(Pool)


def pool_windows(fake_V: Sequence[float], pool: Pool) -> float:
    """Return the probability of a fake of a file, from 0 to 1.

    `mean` hides a short forgery in a long file, `max` is moved by one bad window, `top2` is the mean of the two
    highest, and `noisy_or` is the chance that at least one window is fake if all were independent. Raises ValueError
    for no window.
    """
    values_V = np.asarray(fake_V, float)
    if not len(values_V):
        raise ValueError("a file without a window has no probability")
    if pool == "mean":
        return float(values_V.mean())
    if pool == "max":
        return float(values_V.max())
    if pool == "top2":
        return float(np.sort(values_V)[-2:].mean())
    # Through logarithms: the chance that none of many windows is fake would be rounded to 0.
    return float(-np.expm1(np.log1p(-np.minimum(values_V, 1 - 1e-12)).sum()))
