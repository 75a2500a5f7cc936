"""Share an epoch among sources, and interleave them so that no prefix is more than one clip off its target."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from avf_shards.errors import UserError
from avf_shards.format.corpus import Corpus
from avf_shards.settings.config import describe_unknown_key

_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """The clips of each source in an epoch: all of them (nothing given), a quota for each, or shares by weight.

    A source that is not named in a mix that names some is left out. A quota above what a source has repeats it, each
    time in another order; one below takes the next part each epoch, so that all are seen before any is seen again.
    """

    quotas: Mapping[str, int] = field(default_factory=dict)  # source -> clips in an epoch
    weights: Mapping[str, float] = field(default_factory=dict)  # source -> share of an epoch, relative to the others'
    clips_per_epoch: int | None = None  # of all sources, with weights; None: the clips of the weighted sources
    # Share of each source's clips that are ever taken; those of a share are among those of a larger one, whatever the
    # seed. An epoch stays as long as without it: to compare amounts of data, the steps of training must be the same.
    share: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share {self.share:g} must be above 0 and at most 1")
        if self.quotas and self.weights:
            raise ValueError("quotas and weights are both given; a mix has one of them")
        if self.clips_per_epoch is not None and (not self.weights or self.clips_per_epoch < 1):
            raise ValueError(f"clips_per_epoch {self.clips_per_epoch} needs weights, and must be at least 1")
        for name, value in (*self.quotas.items(), *self.weights.items()):
            if not value > 0 or math.isinf(value):
                raise ValueError(f"{name}: {value} must be a number above 0")


def source_quotas(corpus: Corpus, mix: Mixture) -> list[int]:
    """Return the clips of each source in one epoch, in corpus order. Raises UserError for an unknown source."""
    known = [source.name for source in corpus.sources]
    for name in (*mix.quotas, *mix.weights):
        if name not in known:
            raise UserError(describe_unknown_key(name, name, known, "source of these shards"))
    if mix.quotas:
        return [mix.quotas.get(name, 0) for name in known]
    if not mix.weights:
        return [source.count for source in corpus.sources]
    named = sum(source.count for source in corpus.sources if source.name in mix.weights)
    return shares([mix.weights.get(name, 0.0) for name in known], mix.clips_per_epoch or named)


def shares(weights: Sequence[float], total: int) -> list[int]:
    """Return `total` split in proportion to `weights` into whole numbers, by the largest-remainder method."""
    all_weight = sum(weights)
    exact = [weight / all_weight * total for weight in weights]
    rounded = [math.floor(part) for part in exact]
    # The indices with the largest remainders first; among equal remainders the earlier index.
    remainders = sorted((floor - part, i) for i, (floor, part) in enumerate(zip(rounded, exact, strict=True)))
    for _, i in remainders[: total - sum(rounded)]:
        rounded[i] += 1
    return rounded


def interleave(quotas: Sequence[int]) -> npt.NDArray[np.int16]:
    """Return the index of the source at each position of an epoch, (P,); source s occurs quotas[s] times.

    After n positions source s has had n * quotas[s] / P clips, but for at most one.
    """
    counts = np.array(quotas, np.int64)
    number = np.arange(len(counts), dtype=np.float64)
    for phases in (0 * number + 0.5, (0.5 + _GOLDEN * number) % 1):
        order = _order_by_ideal_time(counts, phases)
        if _is_within_one_clip(order, counts):
            return order
    return _assign_by_chairman(counts)


def _order_by_ideal_time(counts: npt.NDArray[np.int64], phases: npt.NDArray[np.float64]) -> npt.NDArray[np.int16]:
    times = np.concatenate([(np.arange(n) + phase) / n for n, phase in zip(counts, phases, strict=True) if n])
    sources = np.repeat(np.arange(len(counts), dtype=np.int16), counts)
    return sources[np.argsort(times, kind="stable")]


def _is_within_one_clip(order: npt.NDArray[np.int16], counts: npt.NDArray[np.int64]) -> bool:
    total = len(order)
    upto = np.arange(1, total + 1)
    for source, count in enumerate(counts):
        had = np.cumsum(order == source)
        if np.abs(had * total - upto * count).max(initial=0) > total:
            return False
    return True


def _assign_by_chairman(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int16]:
    """Return Tijdeman's chairman assignment, which is always within one clip; slower, for many uneven sources."""
    common = int(np.gcd.reduce(counts))
    sources = np.flatnonzero(counts).astype(np.int16)
    needed = counts[sources] // common
    total = int(needed.sum())
    share = needed / total
    slack = 1 / max(2, 2 * len(needed) - 2)
    had = np.zeros(len(needed))
    order = np.empty(total, np.int16)
    for n in range(1, total + 1):
        owed = share * n - had
        urgency = np.where(owed >= slack - 1e-9, (1 - slack - owed) / share, np.inf)
        order[n - 1] = chosen = int(np.argmin(urgency))
        had[chosen] += 1
    return np.tile(sources[order], common)
