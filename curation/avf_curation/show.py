"""Terminal output: tables of plan, status, audit, and one video's story. Names from outside are shown as plain text."""

import difflib
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from avf_shards.errors import UserError
from avf_shards.ledger import Check, Decision, from_table
from avf_shards.timeline import Span
from rich.console import Console
from rich.table import Table
from rich.text import Text

from avf_curation.audit import STAGES, Audit, SourceAudit, duration
from avf_curation.calibrate import Calibration
from avf_curation.compare import ALPHA, Comparison
from avf_curation.estimate import Estimate, Quantity
from avf_curation.intervals import wilson
from avf_curation.review import StageReview
from avf_curation.run import Plan
from avf_curation.sources.read import SourceCheck
from avf_curation.whatif import WhatIf

_FEW = 10  # of each kind, in a report for a terminal


def console() -> Console:
    """Standard output, without guessing what names mean."""
    return Console(highlight=False, soft_wrap=True, emoji=False, markup=False)


def plain(text: str) -> Text:
    """Text from outside: control characters are shown, markup is not read."""
    return Text("".join(c if c.isprintable() else repr(c)[1:-1] for c in text))


def show_plan(out: Console, planned: Plan) -> None:
    """Videos, bytes and units per source; what was set aside."""
    table = Table("source", box=None, header_style="bold", pad_edge=False)
    for name in ("videos", "GB", "parents", "units"):
        table.add_column(name, justify="right")
    for row in plan_rows(planned):
        table.add_row(
            row["source"], f"{row['videos']}", f"{row['bytes'] / 1e9:.3f}", f"{row['parents']}", f"{row['units']}"
        )
    out.print(table)
    for one in planned.aside[:20]:
        out.print(plain(f"set aside: {one.source}: {one.path}: {one.why}"))
    if len(planned.aside) > 20:
        out.print(f"set aside: {len(planned.aside) - 20} more (gen-{planned.generation}/plan/aside.parquet lists them)")


def plan_rows(planned: Plan) -> list[dict[str, Any]]:
    """One row per source."""
    grouped = planned.table.group_by("source").aggregate(
        [("video", "count"), ("size_bytes", "sum"), ("parent", "count_distinct"), ("unit", "count_distinct")]
    )
    return [
        {
            "source": row["source"],
            "videos": row["video_count"],
            "bytes": row["size_bytes_sum"],
            "parents": row["parent_count_distinct"],
            "units": row["unit_count_distinct"],
        }
        for row in sorted(grouped.to_pylist(), key=lambda row: row["source"])
    ]


def show_source_check(out: Console, found: SourceCheck) -> None:
    """What is there of one source, then what is not, the first few of each kind."""
    owners = f" of the owners' {found.owners_count:,}" if found.owners_count else ""
    out.print(Text(f"{found.source}: {found.videos:,} videos{owners}, {found.bytes / 1e9:,.3f} GB", style="bold"))
    speakers = f"{found.speakers:,} speakers" if found.speakers else "speakers not known"
    out.print(
        f"  {found.parents:,} parents, {speakers}, {found.with_sound_beside:,} with sound beside, "
        f"{found.ranges:,} as a range of a longer film"
    )
    for kind, count in found.kinds.items():
        out.print(f"  {kind.replace('_', ' ')}: {count:,}")
        for one in [one for one in found.aside if one.kind == kind][:_FEW]:
            out.print(plain(f"    {one.path}: {one.why}"))
        if count > _FEW:
            out.print(f"    and {count - _FEW:,} more (--json - lists all)")
    if found.bad_tracks:
        out.print(f"  owners' face tracks that cannot be read: {len(found.bad_tracks):,}")
        for path, why in list(found.bad_tracks.items())[:_FEW]:
            out.print(plain(f"    {path}: {why}"))


def show_audit(out: Console, result: Audit) -> None:
    """Per source: input = kept + rejected + failed, then every reason and error."""
    if not result.finished:
        out.print(Text("The run is not finished; this is what is committed so far.", style="yellow"))
    table = Table("source", box=None, header_style="bold", pad_edge=False)
    for name in ("videos", "clips", "input", "= kept", "+ rejected", "+ failed", "kept %"):
        table.add_column(name, justify="right")
    for name, source in result.sources.items():
        table.add_row(name, *_row(source))
    if len(result.sources) > 1:
        table.add_section()
        totals = SourceAudit(reasons={}, errors={}, **result.totals)
        table.add_row("all", *_row(totals), style="bold")
    out.print(table)
    for name, source in result.sources.items():
        out.print()
        out.print(Text(name, style="bold"))
        for stage, gate in result.gates.get(name, {}).items():
            out.print(f"  {stage}: {'only measured' if gate == 'measure' else 'skipped'} by the recipe")
        for kind, group, style in (("rejected", source.reasons, ""), ("failed", source.errors, "red")):
            for reason, entry in group.items():
                share = entry["frames"] / max(1, source.input_frames)
                spans = f"{entry['spans']} span{'s' if entry['spans'] != 1 else ''}"
                line = f"  {kind:<9}{reason:<28}{spans:>12}{duration(entry['frames']):>12}{share:>8.1%}"
                out.print(Text(line, style=style))
    out.print()
    backends = ", ".join(f"{stage}={name}" for stage, name in sorted(result.backends.items()))
    out.print(f"backends {backends}; fingerprint {result.fingerprint}")
    if result.doubled_inputs:
        out.print(f"{result.doubled_inputs} inputs have the same bytes as another; pack takes their clips once")
    for name in result.law:
        out.print(Text("the law of the ledger is broken by ", style="red") + plain(name))


def _row(source: SourceAudit) -> list[str]:
    share = source.kept_frames / max(1, source.input_frames)
    frames = (source.input_frames, source.kept_frames, source.rejected_frames, source.failed_frames)
    return [str(source.videos), str(source.clips), *(duration(n) for n in frames), f"{share:.1%}"]


def show_whatif(out: Console, found: WhatIf) -> None:
    """Kept before and after per source; what falls, what comes in, and what nobody can know without curating again."""
    for name, limits in sorted(found.thresholds.items()):
        told = ", ".join(f"{check} at {limit:g}" for check, limit in limits.items())
        out.print(plain(f"{name or 'every source'}: {told}"))
    table = Table("source", box=None, header_style="bold", pad_edge=False)
    for heading in ("kept before", "after", "", "falls", "comes in", "unknown"):
        table.add_column(heading, justify="right")
    unknown: dict[str, int] = {}
    for name, source in found.sources.items():
        share = source.kept_after / source.kept_before - 1 if source.kept_before else 0.0
        moved = map(duration, (source.rejected, source.admitted, source.unknown))
        kept = duration(source.kept_before), duration(source.kept_after)
        table.add_row(plain(name), *kept, f"{share:+.1%}", *moved)
        for stage, count in source.unknown_after.items():
            unknown[stage] = unknown.get(stage, 0) + count
    out.print(table)
    for stage, count in sorted(unknown.items()):
        later = ", ".join(STAGES[STAGES.index(stage) + 1 :]) or "the pooled watermark"
        out.print(f"unknown: {duration(count)} would pass {stage}, but {later} never saw them; curate again to know")
    spans = {name: source.unknown_spans for name, source in found.sources.items() if source.unknown_spans}
    if spans:
        out.print("spans unknown: " + ", ".join(f"{name} {count:,}" for name, count in spans.items()))
    for name, source in found.sources.items():
        if source.sampled_spans:
            passing = wilson(source.sampled_pass_spans, source.sampled_spans)
            out.print(
                f"{name}: of {source.sampled_spans:,} such spans that were measured on (score_all), "
                f"{source.sampled_pass_spans:,} would be kept: {passing}"
            )


def show_calibration(out: Console, found: Calibration) -> None:
    """The threshold in use and the one proposed, for each check; then the settings as they go on a command line."""
    table = Table("check", box=None, header_style="bold", pad_edge=False)
    for heading in ("spans", "parents", "now", "passes", f"{found.keep:.0%} pass at", "95 % interval"):
        table.add_column(heading, justify="right")
    for one in found.proposals:
        cells = f"{one.spans:,}", f"{one.parents:,}", f"{one.now:g}", f"{one.passes.value:.1%}"
        table.add_row(one.check, *cells, f"{one.proposed:.4g}", f"{one.low:.4g} to {one.high:.4g}")
    out.print(table)
    out.print("Each alone; all of them together keep less. The interval counts parents, whose spans are alike.")
    for one in found.proposals:
        out.print(f"  --set sources.{found.source}.{one.setting}={one.proposed:.4g}")


def show_judged(out: Console, found: list[StageReview], answers: int, asked: int) -> None:
    """Precision and recall per source and stage, as far as the answers reach."""
    out.print(f"{answers:,} of {asked:,} spans answered; intervals are 95 % (Wilson), recall's are wider")
    table = Table("source", "verdicts of", box=None, header_style="bold", pad_edge=False)
    for heading in ("spans", "judged", "unsure", "right (precision)", "found (recall)"):
        table.add_column(heading, justify="right")
    for one in found:
        cells = (f"{one.spans:,}", str(one.judged), str(one.unsure))
        shares = [str(share) if one.judged else "not judged" for share in (one.precision, one.recall)]
        table.add_row(plain(one.source), one.stage, *cells, *shares)
    out.print(table)


def show_comparison(out: Console, found: Comparison) -> None:
    """Per source: what moved in the same videos, and what changed between different ones beyond chance."""
    for one in found.sources:
        out.print(plain(f"{one.source}: {one.videos_before:,} videos before, {one.videos_after:,} after"))
        if one.common:
            told = "beyond chance" if one.sign_p < ALPHA else "could be chance"
            out.print(
                f"  {one.common:,} with the same bytes: {one.gained:,} keep more now, {one.lost:,} less "
                f"(p {one.sign_p:.3g}, {told})"
                if one.gained or one.lost
                else f"  {one.common:,} with the same bytes, each keeps as much as before"
            )
        for move in one.moved[:_FEW]:
            out.print(
                plain(f"    {duration(move.frames):>10} in {move.videos:,} videos: {move.before} -> {move.after}")
            )
        if len(one.moved) > _FEW:
            out.print(f"    and {len(one.moved) - _FEW} more kinds of change (--json - lists all)")
        for shift in one.shifts:
            if shift.beyond_chance:
                line = f"{shift.outcome}: {shift.before:.1%} -> {shift.after:.1%} of the other videos"
                out.print(plain(f"  {line} (p {shift.p:.3g}, beyond chance)"))
        if one.shifts and not any(shift.beyond_chance for shift in one.shifts):
            out.print("  the other videos: no share changed beyond chance")


def show_estimate(out: Console, found: Estimate) -> None:
    """Per source: what there is, and what all of it will take and give."""
    for one in found.sources:
        total, head = one.total, f"{one.sampled_parents:,} of {one.total.parents:,} parents curated"
        out.print(plain(f"{one.source}: {total.videos:,} videos, {total.bytes / 1e9:,.3f} GB; {head}"))
        rows = {"core-hours": one.core_hours, "GPU-hours": one.gpu_hours, "clips": one.clips}
        rows |= {"hours of clips": one.kept_hours, "GB of clips": one.stored_gb}
        for name, quantity in rows.items():
            out.print(f"  {name:<16}{'no GPU was used' if quantity is None else _ranged(quantity)}")
    work = found.core_hours
    out.print(f"in all {_ranged(work)} core-hours; with 64 cores {work.value / 64:,.2f} hours, without cold starts")
    out.print("95 % intervals, bootstrap over parents. Shards take as much room again as the run's clips.")


def _ranged(quantity: Quantity) -> str:
    return f"{quantity.value:,.3g} ({quantity.low:,.3g} to {quantity.high:,.3g})"


def show_story(out: Console, decisions: list[Decision]) -> None:
    """One video, span by span, with every comparison on the way."""
    first = decisions[0]
    out.print(plain(f"{first.source}: {first.path}"))
    frames = max(decision.span.stop_frame for decision in decisions)
    out.print(
        f"{frames} frames = {duration(frames)}, {first.input_bytes} bytes, sha256 {first.input_sha256 or 'unread'}"
    )
    for decision in decisions:
        style = {"kept": "green", "rejected": "", "failed": "red"}[decision.status]
        out.print(Text(f"{_when(decision.span)}  {verdict(decision)}", style=f"bold {style}".strip()))
        for check in decision.checks:
            out.print(Text(f"    {_comparison(check)}", style="dim"))


def verdict(decision: Decision) -> str:
    """One phrase: what became of a span, and why."""
    if decision.status == "kept":
        return f"kept as {', '.join(decision.clips)}"
    if decision.status == "failed":
        return f"failed in {decision.stage}: {decision.error}: {decision.message}"
    opposite = {"<=": ">", ">=": "<"}[decision.operator or "<="]
    return f"rejected {decision.stage}/{decision.reason}: {decision.score:g} {opposite} {decision.threshold:g}"


def _when(span: Span) -> str:
    return f"{_clock(span.start_s)} to {_clock(span.stop_s)}"


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60):02d}:{seconds % 60:05.2f}"


def _comparison(check: Check) -> str:
    score = "cannot tell" if check.score is None else f"{check.score:g}"
    mark = {True: "passes", False: "FAILS", None: "open"}[check.passed]
    name = f"{check.stage}/{check.reason}"
    return f"{name:<26}{score:>12} {check.operator} {check.threshold:<8g} {mark}"


def find_video(table: pa.Table, wanted: str) -> list[Decision]:
    """The decisions of the video called `wanted`: its id, or SOURCE/id. Raises UserError with the nearest names."""
    full = pc.binary_join_element_wise(table["source"], table["video"], "/")
    rows = table.filter(pc.or_(pc.equal(table["video"], wanted), pc.equal(full, wanted)))
    found = from_table(rows)
    names = sorted({(d.source, d.video) for d in found})
    if len(names) == 1:
        return sorted(found, key=lambda d: d.span)
    if names:
        raise UserError(f"{wanted!r} is in several sources; name one: {', '.join('/'.join(n) for n in names)}")
    known = pc.unique(table["video"]).to_pylist()[:100_000]
    near = difflib.get_close_matches(wanted, known, n=3, cutoff=0.4)
    hint = f"; near: {', '.join(near)}" if near else ""
    raise UserError(f"{wanted!r}: no such video in this run{hint}")
