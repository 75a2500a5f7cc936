"""Sweeps: a row of a study with several values of its settings, as rows of their own.

Values are a grid, or drawn at random from a seed. Each draw is a function of (seed, number, setting): more draws leave
the first ones as they are, so that their runs are used again.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

from avf_shards.sampling.stream_order import position_random
from avf_shards.settings.config import merge, nest, refuse

SweepStage = Literal["pretrain", "posttrain", "finetune"]
_DIGITS = 3  # significant, of a drawn number


@dataclass(frozen=True, kw_only=True)
class SweepRange:
    """Numbers between two ends, to draw from."""

    low: float  # least value
    high: float  # largest value
    log: bool = False  # draw the logarithm evenly, as for learning rates

    def __post_init__(self) -> None:
        refuse(
            (not self.low < self.high, f"low {self.low:g} must be below high {self.high:g}"),
            (self.log and self.low <= 0, f"low {self.low:g} must be above 0 where log is true"),
        )

    def draw(self, share: float) -> float:
        """Return the value at a share, 0 to 1, of the way from low to high, in three significant digits."""
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        value = low + share * (high - low)
        return float(f"{math.exp(value) if self.log else value:.{_DIGITS}g}")


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Settings of one stage that take several values."""

    values: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)  # dotted setting -> its values
    ranges: Mapping[str, SweepRange] = field(default_factory=dict)  # dotted setting -> numbers to draw from
    stage: SweepStage = "finetune"  # stage whose settings they are
    draws: int | None = None  # random combinations; None: every combination of `values` (a grid)
    seed: int = 0  # of the draws

    def __post_init__(self) -> None:
        doubled = sorted(set(self.values) & set(self.ranges))
        refuse(
            (not self.values and not self.ranges, "values and ranges are both empty; a sweep varies a setting"),
            (bool(doubled), f"values and ranges both have {', '.join(doubled)}"),
            *((not values, f"values of {name} are empty") for name, values in self.values.items()),
            (self.draws is None and bool(self.ranges), "ranges need draws: how many combinations to draw"),
            (self.draws is not None and self.draws < 1, f"draws {self.draws} must be at least 1"),
        )

    @property
    def settings(self) -> tuple[str, ...]:
        """Dotted names of the settings that vary."""
        return (*self.values, *self.ranges)

    def points(self) -> list[dict[str, Any]]:
        """Return the combinations: dotted setting -> value, without doubles, in order."""
        if self.draws is None:
            drawn = [dict(zip(self.values, chosen, strict=True)) for chosen in product(*self.values.values())]
        else:
            drawn = [dict(self._draw(number)) for number in range(self.draws)]
        return [point for number, point in enumerate(drawn) if point not in drawn[:number]]

    def _draw(self, number: int) -> Iterator[tuple[str, Any]]:
        for name in self.settings:
            share = float(position_random("sweep", self.seed, number, name).random())
            if name in self.values:
                values = self.values[name]
                yield name, values[int(share * len(values))]
            else:
                yield name, self.ranges[name].draw(share)


def point_name(row: str, point: Mapping[str, Any]) -> str:
    """Return the name of the row of a combination: `small, layer_decay 0.9, smoothing 0.1`."""
    return ", ".join([row, *(f"{name} {_as_text(value)}" for name, value in point.items())])


def nest_settings(settings: Mapping[str, Any], point: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with the values of dotted names in their tables."""
    for name, value in point.items():
        settings = merge(settings, nest(name, value))
    return dict(settings)


def _as_text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def swept_number(points: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the name of the only setting that varies where it is a number in each point, for a curve; else None."""
    names = {name for point in points for name in point}
    numbers = [value for point in points for value in point.values() if _is_number(value)]
    return names.pop() if len(names) == 1 and 1 < len(numbers) == len(points) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
