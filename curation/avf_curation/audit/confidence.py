"""Intervals for shares: what a sample of some size can say."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class Proportion:
    """A share with its 95 % interval; 0 to 1 where nothing was counted."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.1%} ({self.low:.1%} to {self.high:.1%})"


def wilson_interval(hits: float, count: float) -> Proportion:
    """Wilson's score interval (1927) of hits / count, 95 %. `count` may be an effective number, not whole."""
    if count <= 0:
        return Proportion(value=float("nan"), low=0.0, high=1.0)
    z = 1.959964
    share = hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return Proportion(value=share, low=max(0.0, float(middle - half)), high=min(1.0, float(middle + half)))


def effective_size(weights: npt.NDArray[np.float64]) -> float:
    """Kish's effective sample size of weighted observations: (sum w)^2 / sum w^2."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares else 0.0
