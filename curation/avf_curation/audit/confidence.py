"""Confidence intervals of shares."""

import numpy as np
import numpy.typing as npt
from avf_shards.schema.estimate import Estimate


def wilson_interval(hits: float, count: float) -> Estimate:
    """Return the share hits / count with its 95 % Wilson score interval (E. B. Wilson, 1927).

    `count` may be an effective sample size and need not be an integer. Without any observation the share is NaN and
    the interval 0 to 1.
    """
    if count <= 0:
        return Estimate(value=float("nan"), low=0.0, high=1.0)
    z = 1.959964  # the 97.5 % quantile of the normal distribution
    share = hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return Estimate(value=share, low=max(0.0, float(middle - half)), high=min(1.0, float(middle + half)))


def effective_size(weights: npt.NDArray[np.float64]) -> float:
    """Return the effective sample size of weighted observations, (sum w)^2 / sum w^2 (L. Kish, 1965)."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares else 0.0
