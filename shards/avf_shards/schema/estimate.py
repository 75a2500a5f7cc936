"""Estimated values with their uncertainty."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """An estimated value with its 95 % interval. The function that computes an estimate documents the method."""

    value: float  # in the unit of the quantity; a share lies between 0 and 1
    low: float  # lower end of the interval, in the same unit
    high: float  # upper end of the interval, in the same unit

    def as_percent(self) -> str:
        """Return a share as text: "81.0% (76.5% to 84.8%)", or "not known" for a share without a value (NaN)."""
        if math.isnan(self.value):
            return "not known"
        return f"{self.value:.1%} ({self.low:.1%} to {self.high:.1%})"
