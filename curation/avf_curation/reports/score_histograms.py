"""Histograms of every score of a run, per source and check, from a ledger that is read a batch at a time."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from avf_shards.schema.check_columns import Bools, Floats, Integers, flatten_checks

from avf_curation.stages.reasons import REASONS, Reason

HISTOGRAM_COLUMNS = ("source", "status", "checks")
_BINS = 30  # at most; the last bin holds what lies beyond the axis
_SAMPLED = 4096  # scores of a check and batch from which the axis is chosen
_TAIL = 99  # percentile of the scores that the axis reaches to at least
_SHORT = 2**16  # numbers that 16 bits hold
_WIDE = 20  # an axis this many times as long as its least threshold is drawn on a logarithmic scale

Batches = Callable[[], Iterable[pa.RecordBatch]]


@dataclass(frozen=True, kw_only=True)
class ScoreAxis:
    """The bins of one check, the same for all sources."""

    edges: Floats  # ends of the bins, one more than bins
    symlog: float | None  # scores below this are drawn linearly, those above logarithmically; None: all linearly


@dataclass(frozen=True, kw_only=True)
class ScoreHistogram:
    """The scores of one check in one source."""

    source: str  # name of the source
    check: str  # "stage/reason"
    axis: ScoreAxis  # of the check
    kept: Integers  # kept spans per bin
    rejected: Integers  # rejected spans per bin, whatever rejected them
    below: int  # spans with a score under the axis
    above: int  # spans with a score over the axis, kept ones and rejected ones
    kept_above: int  # kept spans among them
    highest: float  # greatest score
    lowest: float  # least score
    thresholds: tuple[tuple[str, float], ...]  # (operator, limit) that the source's scores were compared with
    not_measured: int  # spans whose score could not be measured

    @property
    def measured(self) -> int:
        """Number of spans with a score."""
        return int(self.kept.sum() + self.rejected.sum()) + self.below + self.above

    @property
    def kept_spans(self) -> int:
        """Number of kept spans with a score that the axis shows or that lies above it."""
        return int(self.kept.sum()) + self.kept_above

    @property
    def rejected_spans(self) -> int:
        """Number of rejected spans with a score that the axis shows or that lies above it."""
        return int(self.rejected.sum()) + self.above - self.kept_above


@dataclass(kw_only=True)
class _Counts:
    """Sums of one source and check."""

    kept: Integers
    rejected: Integers
    below: int = 0
    above: int = 0
    kept_above: int = 0
    not_measured: int = 0
    highest: float = -math.inf
    lowest: float = math.inf

    def add(self, score_S: Floats, kept_S: Bools, edges: Floats) -> None:
        measured_S = ~np.isnan(score_S)
        self.not_measured += int((~measured_S).sum())
        score_S, kept_S = score_S[measured_S], kept_S[measured_S]
        if not len(score_S):
            return
        self.highest, self.lowest = max(self.highest, float(score_S.max())), min(self.lowest, float(score_S.min()))
        self.kept += np.histogram(score_S[kept_S], edges)[0]
        self.rejected += np.histogram(score_S[~kept_S], edges)[0]
        above_S = score_S > edges[-1]
        self.above += int(above_S.sum())
        self.kept_above += int((above_S & kept_S).sum())
        self.below += int((score_S < edges[0]).sum())


@dataclass(frozen=True, kw_only=True)
class _Group:
    """The scores of one check in one source, of a part of the ledger. S: spans."""

    source: str  # name of the source
    check: str  # "stage/reason"
    score_S: Floats  # NaN where nothing could be measured
    kept_S: Bools  # whether the span is kept
    threshold_S: Floats  # limit that the score was compared with
    at_most_S: Bools  # operator "<=", otherwise ">="


def count_scores(batches: Batches, reasons: Mapping[str, Reason] = REASONS) -> list[ScoreHistogram]:
    """Return a histogram of each source and check, by source and in the order of the stages.

    Args:
        batches: reads the ledger, with HISTOGRAM_COLUMNS; it is read twice, for the axes and for the bins.
        reasons: of the run's stages.
    """
    axes = _choose_axes(batches(), reasons)
    counts: dict[tuple[str, str], _Counts] = {}
    thresholds: dict[tuple[str, str], set[tuple[str, float]]] = {}
    for group in _groups(batches()):
        key, edges = (group.source, group.check), axes[group.check].edges
        bins = len(edges) - 1
        sums = counts.setdefault(key, _Counts(kept=np.zeros(bins, np.int64), rejected=np.zeros(bins, np.int64)))
        sums.add(group.score_S, group.kept_S, edges)
        operators = thresholds.setdefault(key, set())
        for operator, chosen_S in (("<=", group.at_most_S), (">=", ~group.at_most_S)):
            operators.update((operator, limit) for limit in _distinct(group.threshold_S[chosen_S]))
    order = {name: position for position, name in enumerate(reasons)}
    histograms = [
        ScoreHistogram(
            source=source,
            check=name,
            axis=axes[name],
            thresholds=tuple(sorted(thresholds[source, name])),
            **vars(sums),
        )
        for (source, name), sums in counts.items()
    ]
    return sorted(histograms, key=lambda each: (each.source, order.get(each.check, len(order)), each.check))


def _groups(batches: Iterable[pa.RecordBatch]) -> Iterator[_Group]:
    """Yield the scores of each source and check of a batch, of the spans that did not fail."""
    for batch in batches:
        decided = pc.not_equal(batch["status"], "failed")
        rows = batch if pc.all(decided).as_py() else batch.filter(decided)  # a filter copies every check
        if not rows.num_rows:
            continue
        sources = rows["source"].dictionary_encode()
        names, source_R = sources.dictionary.to_pylist(), sources.indices.to_numpy()
        kept_R = pc.equal(rows["status"], "kept").to_numpy(zero_copy_only=False)
        checks = flatten_checks(rows)
        if not len(checks.row_C):  # a recipe whose gates only measure
            continue
        code_C = checks.name_C * len(names) + source_R[checks.row_C]
        if len(checks.names) * len(names) <= _SHORT:
            code_C = code_C.astype(np.uint16)  # numpy sorts 16 bits by counting
        order = np.argsort(code_C, kind="stable")
        codes, starts = np.unique(code_C[order], return_index=True)
        for code, chosen in zip(codes.tolist(), np.split(order, starts[1:]), strict=True):
            yield _Group(
                source=names[code % len(names)],
                check=checks.names[code // len(names)],
                score_S=checks.score_C[chosen],
                kept_S=kept_R[checks.row_C[chosen]],
                threshold_S=checks.threshold_C[chosen],
                at_most_S=checks.at_most_C[chosen],
            )


def _distinct(values: Floats) -> list[float]:
    """Return the different values, which are few."""
    if len(values) and (values == values[0]).all():  # of a check in one source: as a rule, and without sorting
        return [float(values[0])]
    distinct: list[float] = np.unique(values).tolist()
    return distinct


def _choose_axes(batches: Iterable[pa.RecordBatch], reasons: Mapping[str, Reason]) -> dict[str, ScoreAxis]:
    """Return the axis of each check, from an evenly spread part of its scores and all its thresholds."""
    samples: dict[str, list[Floats]] = {}
    limits: dict[str, set[float]] = {}
    for group in _groups(batches):
        scores = group.score_S[~np.isnan(group.score_S)]
        samples.setdefault(group.check, []).append(scores[:: max(1, len(scores) // _SAMPLED)])
        limits.setdefault(group.check, set()).update(_distinct(group.threshold_S))
    return {name: choose_axis(name, np.concatenate(parts), limits[name], reasons) for name, parts in samples.items()}


def choose_axis(check: str, scores: Floats, limits: set[float], reasons: Mapping[str, Reason] = REASONS) -> ScoreAxis:
    """Return the bins of a check: shares from 0 to 1, other scores from 0 unless one is negative.

    The axis reaches to the 99th percentile and past every threshold. Its ends are round numbers. Where a threshold
    would stand in the first twentieth, the scale is logarithmic.
    """
    if check in reasons and reasons[check].is_share:
        return ScoreAxis(edges=np.linspace(0, 1, 26), symlog=None)
    tail = float(np.percentile(scores, _TAIL)) if len(scores) else 1.0
    high = max([tail, *(1.15 * limit for limit in limits)])
    low = min([0.0, *(1.15 * limit for limit in limits)])
    if len(scores) and scores.min() < 0:
        low = min(low, float(np.percentile(scores, 100 - _TAIL)))
    if high <= low:
        high = low + 1
    positive = [limit for limit in limits if limit > 0]
    if low == 0 and positive and high > _WIDE * min(positive):
        return _symlog_axis(min(positive), high)
    step = _round_step((high - low) / _BINS)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return ScoreAxis(edges=np.arange(first, last + 1, dtype=np.float64) * step, symlog=None)


def _symlog_axis(constant: float, high: float) -> ScoreAxis:
    steps = np.linspace(0, math.log1p(high / constant), _BINS + 1)
    return ScoreAxis(edges=np.expm1(steps) * constant, symlog=constant)


def _round_step(step: float) -> float:
    """Return the least of 1, 2, 2.5 and 5 times a power of ten that is at least `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= step * (1 - 1e-9))
