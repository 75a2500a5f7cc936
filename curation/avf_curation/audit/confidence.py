"""Intervals for shares: what a sample of some size can say."""

import numpy as np
import numpy.typing as npt
from avf_shards.estimate import Estimate


def wilson_interval(hits: float, count: float) -> Estimate:
    """Wilson's score interval (1927) of hits / count, 95 %. `count` may be an effective number, not whole."""
    if count <= 0:
        return Estimate(value=float("nan"), low=0.0, high=1.0)
    z = 1.959964
    share = hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return Estimate(value=share, low=max(0.0, float(middle - half)), high=min(1.0, float(middle + half)))


def effective_size(weights: npt.NDArray[np.float64]) -> float:
    """Kish's effective sample size of weighted observations: (sum w)^2 / sum w^2."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares else 0.0
