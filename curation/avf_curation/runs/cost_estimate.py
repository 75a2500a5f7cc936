"""Estimate what a run will cost and yield, from a seeded sample of its groups that is curated in full.

Groups (a movie, a session) are sampled, not videos, because the videos of one group resemble each other. Sums are
scaled by bytes (a ratio estimator): the bytes of all inputs are known without reading them, and time, storage and yield
grow with them. Intervals are 95 % of a seeded bootstrap over the groups; they get narrower with every group.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from avf_shards.errors import FaultError, UserError
from avf_shards.format.run_folder import PART, RunFolder
from avf_shards.sampling.hash_draw import priority
from avf_shards.schema.estimate import Estimate
from avf_shards.schema.fields import Fields
from avf_shards.schema.versions import read_json, stamp
from avf_shards.system.named_writes import write_text
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_curation.runs.frozen_plan import read_plan
from avf_curation.runs.unit_log import read_unit_log
from avf_curation.sources.types import Video

TOTALS = "estimate.json"
_RESAMPLES = 1000  # of the bootstrap
_GPU_STAGES = ("track", "speaker", "sync")  # stages that run on a GPU where there is one


@dataclass(frozen=True, kw_only=True)
class SourceTotals:
    """The size of a whole source, known without reading its files."""

    videos: int  # count of inputs
    groups: int  # of inputs that are curated in the same unit
    bytes: int  # size of the inputs


@dataclass(frozen=True, kw_only=True)
class SourceEstimate:
    """The estimate for one source."""

    source: str  # its name
    total: SourceTotals  # size of the source, from the plan
    sampled_groups: int  # groups that were curated to measure
    core_hours: Estimate  # hours of one CPU thread
    gpu_hours: Estimate | None  # wall-clock hours of the stages that use a GPU; None where none was used
    stored_gb: Estimate  # clips in the run folder; shards take as much again
    clips: Estimate  # count
    kept_hours: Estimate  # length of the clips


@dataclass(frozen=True, kw_only=True)
class CostEstimate:
    """The estimates of all sources, and their sum."""

    sources: tuple[SourceEstimate, ...]  # one for each source

    @property
    def core_hours(self) -> Estimate:
        """Core-hours of all sources. Their intervals are taken as independent: half widths add in quadrature."""
        parts = [source.core_hours for source in self.sources]
        value = sum(part.value for part in parts)
        low = sum((part.value - part.low) ** 2 for part in parts) ** 0.5
        high = sum((part.high - part.value) ** 2 for part in parts) ** 0.5
        return Estimate(value=value, low=max(0.0, value - low), high=value + high)

    def as_json(self) -> dict[str, Any]:
        """Return the values that `estimate --json` prints."""
        return asdict(self) | {"core_hours": asdict(self.core_hours)}


def sample_groups(videos: list[Video], sample: int, seed: int) -> list[Video]:
    """Return the videos of `sample` groups of each source, in seeded random order. Raises UserError below 2 groups."""
    if sample < 2:
        raise UserError(f"--sample {sample}: take at least 2 groups of each source; one group gives no interval")
    sampled: set[tuple[str, str]] = set()
    for source in {video.source for video in videos}:
        groups = {video.group_id for video in videos if video.source == source}
        order = sorted(groups, key=lambda group: priority(f"{source}\0{group}", seed))
        sampled |= {(source, group) for group in order[:sample]}
    return [video for video in videos if (video.source, video.group_id) in sampled]


def totals_of(videos: Iterable[Video]) -> dict[str, SourceTotals]:
    """Return source -> its size."""
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
    """Write the sizes of the whole sources into the log folder of the sample's run."""
    run.log_folder.mkdir(parents=True, exist_ok=True)
    values = stamp({"sources": {name: asdict(total) for name, total in totals.items()}}, "source totals")
    write_text(run.log_folder / TOTALS, json.dumps(values, indent=1))


def estimate_cost(run: RunFolder, totals: Mapping[str, SourceTotals], gpu: bool, seed: int = 0) -> CostEstimate:
    """Return the estimate from the finished run of a sample whose units are one group each.

    Raises UserError for a source of which nothing was curated.
    """
    figures = _figures(run)
    estimates = []
    for source, total in totals.items():
        rows = figures.get(source, [])
        if not rows:
            raise UserError(f"{source}: no unit of the sample was curated; is the source empty?")
        estimates.append(estimate_source(source, total, np.array(rows, float), gpu, seed))
    return CostEstimate(sources=tuple(estimates))


def estimate_source(
    source: str, total: SourceTotals, figures_PQ: npt.NDArray[np.float64], gpu: bool, seed: int
) -> SourceEstimate:
    """Return the estimate of one source.

    Args:
        figures_PQ: a row for each sampled group P: bytes, core seconds, GPU seconds, stored bytes, clips, frames.
        gpu: whether the stages that can use a GPU did.
    """
    groups = len(figures_PQ)
    size_P = np.maximum(figures_PQ[:, 0], 1.0)
    picks_RP = np.random.default_rng(seed).integers(0, groups, (_RESAMPLES, groups))
    # Finite population correction: no uncertainty is left when all groups were curated.
    finite = max(0.0, 1.0 - groups / max(total.groups, 1)) ** 0.5

    def scale(column: int, unit: float) -> Estimate:
        value_P = figures_PQ[:, column]
        value = float(value_P.sum() / size_P.sum()) * total.bytes / unit
        resampled_R = value_P[picks_RP].sum(1) / size_P[picks_RP].sum(1) * total.bytes / unit
        low, high = (float(v) for v in np.quantile(resampled_R, (0.025, 0.975)))
        # The bootstrap underestimates the variance of n groups by (n - 1) / n.
        widening = (groups / max(groups - 1, 1)) ** 0.5 * finite
        return Estimate(
            value=value, low=max(0.0, value - (value - low) * widening), high=value + (high - value) * widening
        )

    return SourceEstimate(
        source=source,
        total=total,
        sampled_groups=groups,
        core_hours=scale(1, 3600),
        gpu_hours=scale(2, 3600) if gpu else None,
        stored_gb=scale(3, 1e9),
        clips=scale(4, 1),
        kept_hours=scale(5, 3600 * FRAMES_PER_SECOND),
    )


def _figures(run: RunFolder) -> dict[str, list[tuple[float, ...]]]:
    """Return source -> a row for each unit of the sample. A unit that was curated twice counts with its last times."""
    table = read_plan(run, 0).table
    sizes: dict[int, tuple[str, int]] = {}
    columns = (table[name].to_pylist() for name in ("unit", "source", "size_bytes"))
    for unit, source, size in zip(*columns, strict=True):
        sizes[unit] = (source, sizes.get(unit, (source, 0))[1] + size)
    times: dict[int, tuple[float, float]] = {}
    for entry in read_unit_log(run):
        gpu_s = sum(entry.report.stage_seconds.get(stage, 0.0) for stage in _GPU_STAGES)
        times[entry.report.unit] = (entry.report.cpu_seconds, gpu_s)
    kept = _count_kept_frames(run)
    rows: dict[str, list[tuple[float, ...]]] = {}
    for unit, (source, size) in sizes.items():
        if unit in times:
            manifest = run.unit_manifest(0, unit)
            row = (size, *times[unit], manifest.file_bytes[PART], manifest.counts["kept"], kept.get(unit, 0))
            rows.setdefault(source, []).append(row)
    return rows


def _count_kept_frames(run: RunFolder) -> dict[int, int]:
    """Return unit -> frames of its kept spans."""
    ledger = run.ledger().select(["unit", "status", "start_frame", "stop_frame"])
    frames: dict[int, int] = {}
    for row in ledger.to_pylist():
        if row["status"] == "kept":
            frames[row["unit"]] = frames.get(row["unit"], 0) + row["stop_frame"] - row["start_frame"]
    return frames


def one_group_per_unit(overrides: Iterable[str], recipe_sources: Iterable[str]) -> list[str]:
    """Return the settings that make each group a unit of its own, so that the cost of a unit is that of its group."""
    return [*overrides, "plan.unit_videos=1", *(f"sources.{name}.plan.unit_videos=1" for name in recipe_sources)]


def remembered_totals(folder: Path) -> dict[str, SourceTotals] | None:
    """Return the sizes that `write_totals` wrote, or None where the file is gone or damaged.

    Raises UserError for a file of another schema version.
    """
    path = folder / "log" / TOTALS
    try:
        sources = Fields(read_json(path, "source totals"), str(path)).table("sources")
        totals = {name: sources.table(name) for name in sources.values}
        return {
            name: SourceTotals(
                videos=total.integer("videos"), groups=total.integer("groups"), bytes=total.integer("bytes")
            )
            for name, total in totals.items()
        }
    except (OSError, FaultError):
        return None
