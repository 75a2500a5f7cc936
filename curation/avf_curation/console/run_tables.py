"""Plans, source checks and estimates as tables."""

from typing import Any

from avf_shards.estimate import Estimate
from rich.console import Console
from rich.table import Table
from rich.text import Text

from avf_curation.console.tables import FEW, printable
from avf_curation.runs.cost_estimate import CostEstimate
from avf_curation.runs.frozen_plan import RunPlan
from avf_curation.sources.registry import SourceCheck


def print_plan(out: Console, planned: RunPlan) -> None:
    """Videos, bytes and units per source; what was skipped."""
    table = Table("source", box=None, header_style="bold", pad_edge=False)
    for name in ("videos", "GB", "groups", "units"):
        table.add_column(name, justify="right")
    for row in plan_rows(planned):
        table.add_row(
            row["source"], f"{row['videos']}", f"{row['bytes'] / 1e9:.3f}", f"{row['groups']}", f"{row['units']}"
        )
    out.print(table)
    for one in planned.skipped_inputs[:20]:
        out.print(printable(f"skipped: {one.source}: {one.path}: {one.reason}"))
    if len(planned.skipped_inputs) > 20:
        listed = f"attempt-{planned.attempt}/plan/skipped_inputs.parquet"
        out.print(f"skipped: {len(planned.skipped_inputs) - 20} more ({listed} lists them)")


def plan_rows(planned: RunPlan) -> list[dict[str, Any]]:
    """One row per source."""
    grouped = planned.table.group_by("source").aggregate(
        [("video_id", "count"), ("size_bytes", "sum"), ("group_id", "count_distinct"), ("unit", "count_distinct")]
    )
    return [
        {
            "source": row["source"],
            "videos": row["video_id_count"],
            "bytes": row["size_bytes_sum"],
            "groups": row["group_id_count_distinct"],
            "units": row["unit_count_distinct"],
        }
        for row in sorted(grouped.to_pylist(), key=lambda row: row["source"])
    ]


def print_source_check(out: Console, found: SourceCheck) -> None:
    """What is there of one source, then what is not, the first few of each kind."""
    owners = f" of the owners' {found.owners_count:,}" if found.owners_count else ""
    out.print(Text(f"{found.source}: {found.videos:,} videos{owners}, {found.bytes / 1e9:,.3f} GB", style="bold"))
    speakers = f"{found.speakers:,} speakers" if found.speakers else "speakers not known"
    out.print(
        f"  {found.groups:,} groups, {speakers}, {found.with_sound_beside:,} with sound beside, "
        f"{found.ranges:,} as a range of a longer film"
    )
    for kind, count in found.kinds.items():
        out.print(f"  {kind.replace('_', ' ')}: {count:,}")
        for one in [one for one in found.skipped_inputs if one.kind == kind][:FEW]:
            out.print(printable(f"    {one.path}: {one.reason}"))
        if count > FEW:
            out.print(f"    and {count - FEW:,} more (--json - lists all)")
    if found.bad_tracks:
        out.print(f"  owners' face tracks that cannot be read: {len(found.bad_tracks):,}")
        for path, why in list(found.bad_tracks.items())[:FEW]:
            out.print(printable(f"    {path}: {why}"))


def print_estimate(out: Console, found: CostEstimate) -> None:
    """Per source: what there is, and what all of it will take and give."""
    for one in found.sources:
        total, head = one.total, f"{one.sampled_groups:,} of {one.total.groups:,} groups curated"
        out.print(printable(f"{one.source}: {total.videos:,} videos, {total.bytes / 1e9:,.3f} GB; {head}"))
        rows = {"core-hours": one.core_hours, "GPU-hours": one.gpu_hours, "clips": one.clips}
        rows |= {"hours of clips": one.kept_hours, "GB of clips": one.stored_gb}
        for name, quantity in rows.items():
            out.print(f"  {name:<16}{'no GPU was used' if quantity is None else _ranged(quantity)}")
    work = found.core_hours
    out.print(f"in all {_ranged(work)} core-hours; with 64 cores {work.value / 64:,.2f} hours, without cold starts")
    out.print("95 % intervals, bootstrap over groups. Shards take as much room again as the run's clips.")


def _ranged(quantity: Estimate) -> str:
    return f"{quantity.value:,.3g} ({quantity.low:,.3g} to {quantity.high:,.3g})"
