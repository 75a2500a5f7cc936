"""What a run will cost and yield, from a seeded sample of its groups that is curated for real.

Parents (a film, a session) are drawn, not videos, because that is what resembles itself. Sums are scaled by bytes (a
ratio estimator): stat knows the bytes of all inputs, and time, storage and yield follow them. Intervals are 95 % of a
seeded bootstrap over the groups, narrower the more of them were curated.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from avf_shards.errors import UserError
from avf_shards.estimate import Estimate
from avf_shards.format.run_folder import PART, RunFolder
from avf_shards.hash_draw import priority
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_curation.runs.frozen_plan import read_plan
from avf_curation.runs.unit_log import read_unit_log
from avf_curation.sources.types import Video

TOTALS = "estimate.json"
_RESAMPLES = 1000
_ON_GPU = ("track", "sync")


@dataclass(frozen=True, kw_only=True)
class SourceTotals:
    """All there is of a source, by stat."""

    videos: int
    groups: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class SourceEstimate:
    """One source. core_hours: of one CPU thread; gpu_hours: wall time of the stages that a GPU serves, None where none
    was used; stored_gb: of clips in the run, shards take as much again; kept_hours: of clips."""

    source: str
    total: SourceTotals
    sampled_groups: int
    core_hours: Estimate
    gpu_hours: Estimate | None
    stored_gb: Estimate
    clips: Estimate
    kept_hours: Estimate


@dataclass(frozen=True, kw_only=True)
class CostEstimate:
    """All sources, and their sum."""

    sources: tuple[SourceEstimate, ...]

    @property
    def core_hours(self) -> Estimate:
        """Core-hours of all sources. Their intervals are taken as independent: half widths add in quadrature."""
        parts = [source.core_hours for source in self.sources]
        value = sum(part.value for part in parts)
        low = sum((part.value - part.low) ** 2 for part in parts) ** 0.5
        high = sum((part.high - part.value) ** 2 for part in parts) ** 0.5
        return Estimate(value=value, low=max(0.0, value - low), high=value + high)

    def as_json(self) -> dict[str, Any]:
        """The shape that --json prints."""
        return asdict(self) | {"core_hours": asdict(self.core_hours)}


def sample_groups(videos: list[Video], sample: int, seed: int) -> list[Video]:
    """The videos of `sample` groups of each source, by lot. Raises UserError for a number that is none."""
    if sample < 2:
        raise UserError(f"--sample {sample}: at least 2 groups of each source, or there is no interval")
    chosen: set[tuple[str, str]] = set()
    for source in {video.source for video in videos}:
        groups = {video.group_id for video in videos if video.source == source}
        order = sorted(groups, key=lambda group: priority(f"{source}\0{group}", seed))
        chosen |= {(source, group) for group in order[:sample]}
    return [video for video in videos if (video.source, video.group_id) in chosen]


def totals_of(videos: Iterable[Video]) -> dict[str, SourceTotals]:
    """Source -> what there is, by stat."""
    counts: dict[str, tuple[int, set[str], int]] = {}
    for video in videos:
        number, groups, size = counts.get(video.source, (0, set(), 0))
        groups.add(video.group_id)
        counts[video.source] = (number + 1, groups, size + video.size_bytes)
    return {
        name: SourceTotals(videos=number, groups=len(groups), bytes=size)
        for name, (number, groups, size) in sorted(counts.items())
    }


def write_totals(run: RunFolder, totals: Mapping[str, SourceTotals]) -> None:
    """Keep what the whole is, beside the run of the sample."""
    run.log_folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({name: asdict(total) for name, total in totals.items()}, indent=1)
    (run.log_folder / TOTALS).write_text(text, "utf-8")


def estimate_cost(run: RunFolder, totals: Mapping[str, SourceTotals], gpu: bool, seed: int = 0) -> CostEstimate:
    """Predict from the finished run of a sample, whose units are one group each. Raises UserError without figures."""
    figures = _figures(run)
    found = []
    for source, total in totals.items():
        rows = figures.get(source, [])
        if not rows:
            raise UserError(f"{source}: nothing of it was curated; is the source empty?")
        found.append(estimate_source(source, total, np.array(rows, float), gpu, seed))
    return CostEstimate(sources=tuple(found))


def estimate_source(
    source: str, total: SourceTotals, figures_PQ: npt.NDArray[np.float64], gpu: bool, seed: int
) -> SourceEstimate:
    """figures_PQ: a row for each sampled group P: bytes, core seconds, GPU seconds, stored bytes, clips, frames."""
    groups = len(figures_PQ)
    size_P = np.maximum(figures_PQ[:, 0], 1.0)
    picks_RP = np.random.default_rng(seed).integers(0, groups, (_RESAMPLES, groups))
    rest = max(0.0, 1.0 - groups / max(total.groups, 1)) ** 0.5  # nothing is left to guess when all were curated

    def scaled(column: int, unit: float) -> Estimate:
        value_P = figures_PQ[:, column]
        value = float(value_P.sum() / size_P.sum()) * total.bytes / unit
        many_R = value_P[picks_RP].sum(1) / size_P[picks_RP].sum(1) * total.bytes / unit
        low, high = (float(v) for v in np.quantile(many_R, (0.025, 0.975)))
        widened = (groups / max(groups - 1, 1)) ** 0.5 * rest  # the bootstrap of few is too sure
        return Estimate(
            value=value, low=max(0.0, value - (value - low) * widened), high=value + (high - value) * widened
        )

    return SourceEstimate(
        source=source,
        total=total,
        sampled_groups=groups,
        core_hours=scaled(1, 3600),
        gpu_hours=scaled(2, 3600) if gpu else None,
        stored_gb=scaled(3, 1e9),
        clips=scaled(4, 1),
        kept_hours=scaled(5, 3600 * FRAMES_PER_SECOND),
    )


def _figures(run: RunFolder) -> dict[str, list[tuple[float, ...]]]:
    """Source -> a row for each unit of the sample. A unit that was done twice counts with its last time."""
    table = read_plan(run, 0).table
    sizes: dict[int, tuple[str, int]] = {}
    columns = (table[name].to_pylist() for name in ("unit", "source", "size_bytes"))
    for unit, source, size in zip(*columns, strict=True):
        sizes[unit] = (source, sizes.get(unit, (source, 0))[1] + size)
    times: dict[int, tuple[float, float]] = {}
    for entry in read_unit_log(run):
        gpu_s = sum(entry.report.stage_seconds.get(stage, 0.0) for stage in _ON_GPU)
        times[entry.report.unit] = (entry.report.cpu_seconds, gpu_s)
    kept = _kept_frames(run)
    found: dict[str, list[tuple[float, ...]]] = {}
    for unit, (source, size) in sizes.items():
        if unit in times:
            manifest = run.unit_manifest(0, unit)
            row = (size, *times[unit], manifest.file_bytes[PART], manifest.counts["kept"], kept.get(unit, 0))
            found.setdefault(source, []).append(row)
    return found


def _kept_frames(run: RunFolder) -> dict[int, int]:
    table = run.ledger().select(["unit", "status", "start_frame", "stop_frame"])
    found: dict[int, int] = {}
    for row in table.to_pylist():
        if row["status"] == "kept":
            found[row["unit"]] = found.get(row["unit"], 0) + row["stop_frame"] - row["start_frame"]
    return found


def one_parent_per_unit(overrides: Iterable[str], recipe_sources: Iterable[str]) -> list[str]:
    """The settings by which a unit is one group: what a unit costs is then what the group costs."""
    return [*overrides, "plan.unit_videos=1", *(f"sources.{name}.plan.unit_videos=1" for name in recipe_sources)]


def remembered_totals(folder: Path) -> dict[str, SourceTotals] | None:
    """What `write_totals` kept; None where it is gone."""
    try:
        values = json.loads((folder / "log" / TOTALS).read_text("utf-8"))
        return {name: SourceTotals(**value) for name, value in values.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None
