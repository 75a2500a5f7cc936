"""Plans, source checks and estimates as tables."""

from typing import Any

from avf_shards.format.content import Content, input_noun
from avf_shards.format.run_folder import UNREADABLE
from avf_shards.schema.estimate import Estimate
from avf_shards.text import count_noun, describe_unreadable
from rich.console import Console
from rich.table import Table
from rich.text import Text

from avf_curation.console.tables import FEW, plain_text
from avf_curation.runs.cost_estimate import CostEstimate
from avf_curation.runs.frozen_plan import RunPlan
from avf_curation.sources.pictures.registry import PictureCheck
from avf_curation.sources.source_check import SourceCheck


def print_plan(out: Console, planned: RunPlan) -> None:
    """Print videos, bytes and units per source, then the skipped inputs."""
    table = Table("source", box=None, header_style="bold", pad_edge=False)
    for name in (f"{input_noun(planned.content)}s", "GB", "groups", "units"):
        table.add_column(name, justify="right")
    for row in plan_rows(planned):
        table.add_row(
            row["source"], f"{row['videos']}", f"{row['bytes'] / 1e9:.3f}", f"{row['groups']}", f"{row['units']}"
        )
    out.print(table)
    unreadable = sum(skipped.kind == UNREADABLE for skipped in planned.skipped_inputs)
    if unreadable:
        out.print(Text(describe_unreadable(unreadable), style="red"))
    for skipped in planned.skipped_inputs[:20]:
        out.print(plain_text(f"skipped: {skipped.source}: {skipped.path}: {skipped.reason}"))
    if len(planned.skipped_inputs) > 20:
        listed = f"attempt-{planned.attempt}/plan/skipped_inputs.parquet"
        out.print(f"skipped: {len(planned.skipped_inputs) - 20} more ({listed} lists them)")


def plan_rows(planned: RunPlan) -> list[dict[str, Any]]:
    """Return one row per source."""
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


def print_source_check(out: Console, check: SourceCheck) -> None:
    """Print the counts of one source, then the first few skipped inputs of each kind."""
    owners = f" of the owners' {check.owners_count:,}" if check.owners_count else ""
    out.print(
        Text(f"{check.source}: {count_noun(check.videos, 'video')}{owners}, {check.bytes / 1e9:,.3f} GB", style="bold")
    )
    speakers = count_noun(check.speakers, "speaker") if check.speakers else "speakers not known"
    out.print(
        f"  {count_noun(check.groups, 'group')}, {speakers}, {check.with_sound_beside:,} with a separate audio file, "
        f"{check.ranges:,} as a range of a longer file"
    )
    for task, labels in check.frame_labels.items():
        out.print(
            f"  {task}: labels of {count_noun(labels.frames, 'frame')} in {count_noun(labels.videos, 'video')}, "
            f"{labels.invalid:,} not valid; {labels.behind:,} behind the last frame of their film, "
            f"{count_noun(labels.unlabelled, 'frame')} of films without"
        )
    _print_skipped(out, check)
    if check.bad_tracks:
        out.print(f"  owners' face tracks that cannot be read: {len(check.bad_tracks):,}")
        for path, reason in list(check.bad_tracks.items())[:FEW]:
            out.print(plain_text(f"    {path}: {reason}"))
    if check.uncounted:
        out.print(f"  films with labels whose frames cannot be counted: {len(check.uncounted):,}")
        for path, reason in list(check.uncounted.items())[:FEW]:
            out.print(plain_text(f"    {path}: {reason}"))


def print_picture_check(out: Console, check: PictureCheck) -> None:
    """Print the counts of one corpus of pictures, then the first few skipped inputs of each kind."""
    owners = f" of the owners' {check.owners_count:,}" if check.owners_count else ""
    size_gb = check.bytes / 1e9
    out.print(Text(f"{check.source}: {count_noun(check.pictures, 'picture')}{owners}, {size_gb:,.3f} GB", style="bold"))
    if check.identities:
        out.print(f"  {count_noun(check.identities, 'person')}")
    for title, counts in (("sets", check.subsets), *check.labels.items(), ("numbers", check.numbers)):
        if counts:
            out.print(plain_text(f"  {title}: {', '.join(f'{name} {count:,}' for name, count in counts.items())}"))
    _print_skipped(out, check)


def _print_skipped(out: Console, check: SourceCheck | PictureCheck) -> None:
    for kind, count in check.kinds.items():
        out.print(f"  {kind.replace('_', ' ')}: {count:,}")
        for skipped in [skipped for skipped in check.skipped_inputs if skipped.kind == kind][:FEW]:
            out.print(plain_text(f"    {skipped.path}: {skipped.reason}"))
        if count > FEW:
            out.print(f"    and {count - FEW:,} more (--json - lists all)")


def print_estimate(out: Console, estimate: CostEstimate, content: Content = "clips") -> None:
    """Print per source what it holds, what curating all of it costs, and how many clips come out."""
    for source in estimate.sources:
        total, head = source.total, f"{source.sampled_groups:,} of {count_noun(source.total.groups, 'group')} curated"
        out.print(
            plain_text(
                f"{source.source}: {count_noun(total.videos, input_noun(content))}, {total.bytes / 1e9:,.3f} GB; {head}"
            )
        )
        rows = {"core-hours": source.core_hours, "GPU-hours": source.gpu_hours, content: source.clips}
        rows |= {"hours of clips": source.kept_hours} if content == "clips" else {}
        rows |= {f"GB of {content}": source.stored_gb}
        for name, quantity in rows.items():
            out.print(f"  {name:<16}{'no GPU was used' if quantity is None else _with_interval(quantity)}")
    work = estimate.core_hours
    out.print(
        f"in total {_with_interval(work)} core-hours; with 64 cores {work.value / 64:,.2f} hours, without cold starts"
    )
    out.print("95 % intervals, bootstrap over groups. Shards take as much space again as what the run keeps.")


def _with_interval(quantity: Estimate) -> str:
    return f"{quantity.value:,.3g} ({quantity.low:,.3g} to {quantity.high:,.3g})"
