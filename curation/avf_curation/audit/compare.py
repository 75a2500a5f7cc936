"""Comparison of two runs: which verdicts changed, in which source, and whether by more than chance.

Videos with the same bytes in both runs are compared frame by frame; a sign test tells whether more videos gain than
lose kept frames. All other videos are compared as two samples with Welch's t-test (B. L. Welch, 1947): each group (a
recording, a session) is one observation of the share of its frames with an outcome, as spans of one group resemble each
other. P-values are corrected for the number of tests (S. Holm, 1979).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ALPHA = 0.05  # level of significance, after the correction


@dataclass(frozen=True, kw_only=True)
class ChangedFrames:
    """Frames of the same videos whose outcome changed."""

    before: str  # outcome in the first run: "kept", "stage/reason" or "failed stage/error"
    after: str  # outcome in the second run
    frames: int  # whose outcome changed from `before` to `after`
    videos: int  # that have such frames


@dataclass(frozen=True, kw_only=True)
class OutcomeShift:
    """Share of a source's frames with one outcome, in both runs."""

    outcome: str  # "kept", "stage/reason" or "failed stage/error"
    before: float  # share in the first run, 0 to 1
    after: float  # share in the second run
    p: float  # of Welch's t-test, corrected by Holm's method

    @property
    def beyond_chance(self) -> bool:
        """Return whether the difference is significant at the level ALPHA."""
        return self.p < ALPHA


@dataclass(frozen=True, kw_only=True)
class SourceComparison:
    """Comparison of one source."""

    source: str  # name of the source
    videos_before: int  # in the first run
    videos_after: int  # in the second run
    common: int  # videos with the same bytes in both runs
    gained: int  # common videos with more kept frames in the second run
    lost: int  # common videos with fewer kept frames in the second run
    sign_p: float  # two-sided sign test of gained against lost, corrected by Holm's method
    moved: tuple[ChangedFrames, ...]  # of the common videos, most frames first
    shifts: tuple[OutcomeShift, ...]  # of the videos that are not common


@dataclass(frozen=True, kw_only=True)
class ChangedBackend:
    """A stage that the two runs measured with different backends."""

    stage: str  # as the runs' identities name it
    before: str  # backend of the first run; "none" where the run had no such stage
    after: str  # backend of the second run

    def __str__(self) -> str:
        return f"{self.stage} {self.before} -> {self.after}"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Comparison of all sources of two runs."""

    sources: tuple[SourceComparison, ...]  # sorted by name
    backends: tuple[ChangedBackend, ...] = ()  # sorted by stage

    def as_json(self) -> dict[str, Any]:
        """Return the values that --json prints."""
        return {
            "backends": [asdict(backend) for backend in self.backends],
            "sources": [asdict(source) for source in self.sources],
        }


_Timeline = list[tuple[int, int, str]]  # (first frame, frame after the last, outcome) of each span


@dataclass(kw_only=True)
class _Video:
    """The spans of one video in one run."""

    group_id: str  # recording or session of the video
    digest: str | None  # SHA-256 of the input; None where the file could not be read
    spans: _Timeline  # in order of time


def compare_ledgers(before: pa.Table, after: pa.Table) -> Comparison:
    """Compare the ledgers of two runs, source by source."""
    names = sorted({*before["source"].unique().to_pylist(), *after["source"].unique().to_pylist()})
    sources = [_compare_source(name, _videos_of_source(before, name), _videos_of_source(after, name)) for name in names]
    sign_tests = [source.sign_p for source in sources if source.common]
    t_tests = [shift.p for source in sources for shift in source.shifts]
    # Holm's correction counts every test that this comparison makes, over all sources.
    corrected = iter(holm(sign_tests + t_tests))
    sign_p_values = [next(corrected) if source.common else source.sign_p for source in sources]
    corrected_sources = []
    for source, sign_p in zip(sources, sign_p_values, strict=True):
        shifts = tuple(replace(shift, p=next(corrected)) for shift in source.shifts)
        corrected_sources.append(replace(source, sign_p=sign_p, shifts=shifts))
    return Comparison(sources=tuple(corrected_sources))


def compare_backends(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[ChangedBackend, ...]:
    """Return the stages whose backends (stage -> name) are not the same in two runs."""
    changes = (
        ChangedBackend(stage=stage, before=before.get(stage, "none"), after=after.get(stage, "none"))
        for stage in sorted({*before, *after})
    )
    return tuple(change for change in changes if change.before != change.after)


def holm(p_values: Iterable[float]) -> list[float]:
    """Return the p-values corrected by the step-down method of S. Holm (1979)."""
    values = list(p_values)
    corrected, running = [1.0] * len(values), 0.0
    for rank, index in enumerate(np.argsort(values, kind="stable")):
        running = max(running, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = running
    return corrected


def _videos_of_source(table: pa.Table, source: str) -> dict[str, _Video]:
    """Return id -> video for the rows of one source."""
    rows = table.filter(pc.equal(table["source"], source))
    names = ("video_id", "group_id", "input_sha256", "start_frame", "stop_frame", "status", "stage", "reason", "error")
    videos: dict[str, _Video] = {}
    for video, group, digest, start, stop, status, stage, reason, error in zip(
        *(rows[name].to_pylist() for name in names), strict=True
    ):
        outcome = {"kept": "kept", "rejected": f"{stage}/{reason}", "failed": f"failed {stage}/{error}"}[status]
        videos.setdefault(video, _Video(group_id=group, digest=digest, spans=[])).spans.append((start, stop, outcome))
    return videos


def _compare_source(name: str, before: dict[str, _Video], after: dict[str, _Video]) -> SourceComparison:
    from scipy.stats import binomtest  # takes a second to import, and other commands print tables of this module

    common = {v for v in before.keys() & after.keys() if before[v].digest and before[v].digest == after[v].digest}
    frames: Counter[tuple[str, str]] = Counter()
    videos: Counter[tuple[str, str]] = Counter()
    gained = lost = 0
    for video in common:
        changes = _count_changed_frames(before[video].spans, after[video].spans)
        frames.update(changes)
        videos.update(changes.keys())
        gain = sum(n for (_, new), n in changes.items() if new == "kept")
        gain -= sum(n for (old, _), n in changes.items() if old == "kept")
        gained, lost = gained + (gain > 0), lost + (gain < 0)
    sign_p = float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    moved = tuple(
        ChangedFrames(before=old, after=new, frames=n, videos=videos[old, new])
        for (old, new), n in frames.most_common()
    )
    only_before = {video_id: video for video_id, video in before.items() if video_id not in common}
    only_after = {video_id: video for video_id, video in after.items() if video_id not in common}
    shifts = _test_shifts(only_before, only_after)
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


def _count_changed_frames(before: _Timeline, after: _Timeline) -> Counter[tuple[str, str]]:
    """Return (outcome before, after) -> frames that changed. Both timelines are sorted and tile the video."""
    changed: Counter[tuple[str, str]] = Counter()
    i = j = 0
    while i < len(before) and j < len(after):
        start, stop = max(before[i][0], after[j][0]), min(before[i][1], after[j][1])
        if stop > start and before[i][2] != after[j][2]:
            changed[before[i][2], after[j][2]] += stop - start
        if before[i][1] <= after[j][1]:
            i += 1
        else:
            j += 1
    return changed


def _test_shifts(before: dict[str, _Video], after: dict[str, _Video]) -> tuple[OutcomeShift, ...]:
    """Test each outcome by Welch's t-test on the groups' shares of frames; with fewer than two groups test nothing."""
    from scipy.stats import ttest_ind

    groups_before, groups_after = _frames_per_group(before), _frames_per_group(after)
    if len(groups_before) < 2 or len(groups_after) < 2:
        return ()
    outcomes = sorted({outcome for frames in (*groups_before, *groups_after) for outcome in frames if outcome})
    shifts = []
    for outcome in outcomes:
        shares_before, shares_after = (
            np.array([frames[outcome] / frames[""] for frames in groups]) for groups in (groups_before, groups_after)
        )
        # The t-test divides by the variance, which is 0 where all shares are equal.
        equal = np.ptp(np.concatenate([shares_before, shares_after])) == 0
        p = 1.0 if equal else float(ttest_ind(shares_before, shares_after, equal_var=False).pvalue)
        share_before, share_after = (
            sum(frames[outcome] for frames in groups) / sum(frames[""] for frames in groups)
            for groups in (groups_before, groups_after)
        )
        # NaN: each run has one constant share and the two differ.
        p = 0.0 if np.isnan(p) else p
        shifts.append(OutcomeShift(outcome=outcome, before=share_before, after=share_after, p=p))
    return tuple(sorted(shifts, key=lambda shift: shift.p))


def _frames_per_group(videos: dict[str, _Video]) -> list[Counter[str]]:
    """Return for each group: outcome -> frames, and "" -> all frames."""
    groups: dict[str, Counter[str]] = {}
    for video in videos.values():
        frames = groups.setdefault(video.group_id, Counter())
        for start, stop, outcome in video.spans:
            frames[outcome] += stop - start
            frames[""] += stop - start
    return [frames for frames in groups.values() if frames[""]]
