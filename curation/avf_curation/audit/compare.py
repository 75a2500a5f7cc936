"""Comparison of two runs: which verdicts changed, in which source, and whether by more than chance.

Videos with the same bytes in both runs are compared frame by frame; a sign test tells whether more videos gain than
lose kept frames. All other videos are compared as two samples with Welch's t-test (B. L. Welch, 1947): each group (a
recording, a session) is one observation of the share of its frames with an outcome, as spans of one group resemble each
other. P-values are corrected for the number of tests (S. Holm, 1979).
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import binomtest, ttest_ind

ALPHA = 0.05


@dataclass(frozen=True, kw_only=True)
class ChangedFrames:
    """Frames of the same videos whose outcome changed."""

    before: str  # outcome: "kept", "stage/reason" or "failed stage/error"
    after: str
    frames: int
    videos: int  # that have such frames


@dataclass(frozen=True, kw_only=True)
class OutcomeShift:
    """Share of a source's frames with one outcome, in both runs."""

    outcome: str
    before: float
    after: float
    p: float  # of Welch's t-test, corrected by Holm's method

    @property
    def beyond_chance(self) -> bool:
        return self.p < ALPHA


@dataclass(frozen=True, kw_only=True)
class SourceComparison:
    """Comparison of one source."""

    source: str
    videos_before: int
    videos_after: int
    common: int  # videos with the same bytes in both runs
    gained: int  # common videos with more kept frames in the second run
    lost: int  # common videos with fewer
    sign_p: float  # two-sided sign test of gained against lost, corrected by Holm's method
    moved: tuple[ChangedFrames, ...]  # of the common videos, most frames first
    shifts: tuple[OutcomeShift, ...]  # of the videos that are not common


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Comparison of all sources of two runs."""

    sources: tuple[SourceComparison, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the values that --json prints."""
        return {"sources": [asdict(source) for source in self.sources]}


_Timeline = list[tuple[int, int, str]]


@dataclass(kw_only=True)
class _Video:
    group_id: str
    digest: str | None
    spans: _Timeline


def compare_ledgers(before: pa.Table, after: pa.Table) -> Comparison:
    """Compare the ledgers of two runs, source by source."""
    names = sorted({*before["source"].unique().to_pylist(), *after["source"].unique().to_pylist()})
    found = [_source(name, _videos(before, name), _videos(after, name)) for name in names]
    questions = [one.sign_p for one in found if one.common] + [s.p for one in found for s in one.shifts]
    corrected = iter(holm(questions))
    signs = [next(corrected) if one.common else one.sign_p for one in found]
    made = []
    for one, sign in zip(found, signs, strict=True):
        shifts = tuple(
            OutcomeShift(outcome=s.outcome, before=s.before, after=s.after, p=next(corrected)) for s in one.shifts
        )
        made.append(SourceComparison(**{**vars(one), "sign_p": sign, "shifts": shifts}))
    return Comparison(sources=tuple(made))


def holm(p_values: Iterable[float]) -> list[float]:
    """Return the p-values corrected by the step-down method of S. Holm (1979)."""
    values = list(p_values)
    found, running = [1.0] * len(values), 0.0
    for rank, index in enumerate(np.argsort(values, kind="stable")):
        running = max(running, min(1.0, (len(values) - rank) * values[index]))
        found[index] = running
    return found


def _videos(table: pa.Table, source: str) -> dict[str, _Video]:
    mine = table.filter(pc.equal(table["source"], source))
    names = ("video_id", "group_id", "input_sha256", "start_frame", "stop_frame", "status", "stage", "reason", "error")
    found: dict[str, _Video] = {}
    for video, group, digest, start, stop, status, stage, reason, error in zip(
        *(mine[name].to_pylist() for name in names), strict=True
    ):
        outcome = {"kept": "kept", "rejected": f"{stage}/{reason}", "failed": f"failed {stage}/{error}"}[status]
        found.setdefault(video, _Video(group_id=group, digest=digest, spans=[])).spans.append((start, stop, outcome))
    return found


def _source(name: str, before: dict[str, _Video], after: dict[str, _Video]) -> SourceComparison:
    common = {v for v in before.keys() & after.keys() if before[v].digest and before[v].digest == after[v].digest}
    frames: Counter[tuple[str, str]] = Counter()
    videos: Counter[tuple[str, str]] = Counter()
    gained = lost = 0
    for video in common:
        moves = _moves(before[video].spans, after[video].spans)
        frames.update(moves)
        videos.update(moves.keys())
        change = sum(n for (_, now), n in moves.items() if now == "kept")
        change -= sum(n for (was, _), n in moves.items() if was == "kept")
        gained, lost = gained + (change > 0), lost + (change < 0)
    sign_p = float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    moved = tuple(
        ChangedFrames(before=was, after=now, frames=n, videos=videos[was, now])
        for (was, now), n in frames.most_common()
    )
    old = {v: one for v, one in before.items() if v not in common}
    new = {v: one for v, one in after.items() if v not in common}
    shifts = _shifts(old, new)
    return SourceComparison(
        source=name,
        videos_before=len(before),
        videos_after=len(after),
        common=len(common),
        gained=gained,
        lost=lost,
        sign_p=sign_p,
        moved=moved,
        shifts=shifts,
    )


def _moves(before: _Timeline, after: _Timeline) -> Counter[tuple[str, str]]:
    """Return (outcome before, after) -> frames that changed. Both timelines are sorted and tile the video."""
    found: Counter[tuple[str, str]] = Counter()
    i = j = 0
    while i < len(before) and j < len(after):
        start, stop = max(before[i][0], after[j][0]), min(before[i][1], after[j][1])
        if stop > start and before[i][2] != after[j][2]:
            found[before[i][2], after[j][2]] += stop - start
        if before[i][1] <= after[j][1]:
            i += 1
        else:
            j += 1
    return found


def _shifts(before: dict[str, _Video], after: dict[str, _Video]) -> tuple[OutcomeShift, ...]:
    """Test each outcome by Welch's t-test on the groups' shares of frames; none with fewer than two groups."""
    old, new = _groups(before), _groups(after)
    if len(old) < 2 or len(new) < 2:
        return ()
    outcomes = sorted({outcome for shares in (*old, *new) for outcome in shares if outcome})
    found = []
    for outcome in outcomes:
        was, now = (np.array([shares[outcome] / shares[""] for shares in side]) for side in (old, new))
        alike = np.ptp(np.concatenate([was, now])) == 0
        p = 1.0 if alike else float(ttest_ind(was, now, equal_var=False).pvalue)
        first, second = (sum(s[outcome] for s in side) / sum(s[""] for s in side) for side in (old, new))
        found.append(OutcomeShift(outcome=outcome, before=first, after=second, p=0.0 if np.isnan(p) else p))
    return tuple(sorted(found, key=lambda shift: shift.p))


def _groups(videos: dict[str, _Video]) -> list[Counter[str]]:
    """Return for each group: outcome -> frames, and "" -> all frames."""
    found: dict[str, Counter[str]] = {}
    for video in videos.values():
        counts = found.setdefault(video.group_id, Counter())
        for start, stop, outcome in video.spans:
            counts[outcome] += stop - start
            counts[""] += stop - start
    return [counts for counts in found.values() if counts[""]]
