"""Terminal output: tables of plan, status, audit, and one video's story. Names from outside are shown as plain text."""

from avf_shards.schema.ledger import Check, Decision
from avf_shards.timeline import Span
from rich.console import Console
from rich.table import Table
from rich.text import Text

from avf_curation.audit.calibrate import Calibration
from avf_curation.audit.compare import ALPHA, Comparison
from avf_curation.audit.confidence import wilson_interval
from avf_curation.audit.funnel import LedgerSummary, SourceSummary, duration
from avf_curation.audit.review import StageReview
from avf_curation.audit.what_if import WhatIf
from avf_curation.stages.checks import STAGES

FEW = 10  # of each kind, in a report for a terminal


def printable(text: str) -> Text:
    """Text from outside: control characters are shown, markup is not read."""
    return Text("".join(c if c.isprintable() else repr(c)[1:-1] for c in text))


def print_audit(out: Console, result: LedgerSummary) -> None:
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
        totals = SourceSummary(reasons={}, errors={}, **result.totals)
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
    if result.duplicate_inputs:
        out.print(f"{result.duplicate_inputs} inputs have the same bytes as another; pack takes their clips once")
    for name in result.law:
        out.print(Text("the law of the ledger is broken by ", style="red") + printable(name))


def _row(source: SourceSummary) -> list[str]:
    share = source.kept_frames / max(1, source.input_frames)
    frames = (source.input_frames, source.kept_frames, source.rejected_frames, source.failed_frames)
    return [str(source.videos), str(source.clips), *(duration(n) for n in frames), f"{share:.1%}"]


def print_what_if(out: Console, found: WhatIf) -> None:
    """Kept before and after per source; what falls, what comes in, and what nobody can know without curating again."""
    for name, limits in sorted(found.thresholds.items()):
        told = ", ".join(f"{check} at {limit:g}" for check, limit in limits.items())
        out.print(printable(f"{name or 'every source'}: {told}"))
    table = Table("source", box=None, header_style="bold", pad_edge=False)
    for heading in ("kept before", "after", "", "falls", "comes in", "unknown"):
        table.add_column(heading, justify="right")
    unknown: dict[str, int] = {}
    for name, source in found.sources.items():
        share = source.kept_after / source.kept_before - 1 if source.kept_before else 0.0
        moved = map(duration, (source.rejected, source.admitted, source.unknown))
        kept = duration(source.kept_before), duration(source.kept_after)
        table.add_row(printable(name), *kept, f"{share:+.1%}", *moved)
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
            passing = wilson_interval(source.sampled_pass_spans, source.sampled_spans)
            out.print(
                f"{name}: of {source.sampled_spans:,} such spans that were measured on (score_all), "
                f"{source.sampled_pass_spans:,} would be kept: {passing.as_percent()}"
            )


def print_calibration(out: Console, found: Calibration) -> None:
    """The threshold in use and the one proposed, for each check; then the settings as they go on a command line."""
    table = Table("check", box=None, header_style="bold", pad_edge=False)
    for heading in ("spans", "groups", "now", "passes", f"{found.keep:.0%} pass at", "95 % interval"):
        table.add_column(heading, justify="right")
    for one in found.proposals:
        cells = f"{one.spans:,}", f"{one.groups:,}", f"{one.now:g}", f"{one.passes.value:.1%}"
        table.add_row(one.check, *cells, f"{one.proposed:.4g}", f"{one.low:.4g} to {one.high:.4g}")
    out.print(table)
    out.print("Each alone; all of them together keep less. The interval counts groups, whose spans are alike.")
    for one in found.proposals:
        out.print(f"  --set sources.{found.source}.{one.setting}={one.proposed:.4g}")


def print_review(out: Console, found: list[StageReview], answers: int, asked: int) -> None:
    """Precision and recall per source and stage, as far as the answers reach."""
    out.print(f"{answers:,} of {asked:,} spans answered; intervals are 95 % (Wilson), recall's are wider")
    table = Table("source", "verdicts of", box=None, header_style="bold", pad_edge=False)
    for heading in ("spans", "judged", "unsure", "right (precision)", "found (recall)"):
        table.add_column(heading, justify="right")
    for one in found:
        cells = (f"{one.spans:,}", str(one.judged), str(one.unsure))
        shares = [share.as_percent() if one.judged else "not judged" for share in (one.precision, one.recall)]
        table.add_row(printable(one.source), one.stage, *cells, *shares)
    out.print(table)


def print_comparison(out: Console, found: Comparison) -> None:
    """Per source: what moved in the same videos, and what changed between different ones beyond chance."""
    for one in found.sources:
        out.print(printable(f"{one.source}: {one.videos_before:,} videos before, {one.videos_after:,} after"))
        if one.common:
            told = "beyond chance" if one.sign_p < ALPHA else "could be chance"
            out.print(
                f"  {one.common:,} with the same bytes: {one.gained:,} keep more now, {one.lost:,} less "
                f"(p {one.sign_p:.3g}, {told})"
                if one.gained or one.lost
                else f"  {one.common:,} with the same bytes, each keeps as much as before"
            )
        for move in one.moved[:FEW]:
            out.print(
                printable(f"    {duration(move.frames):>10} in {move.videos:,} videos: {move.before} -> {move.after}")
            )
        if len(one.moved) > FEW:
            out.print(f"    and {len(one.moved) - FEW} more kinds of change (--json - lists all)")
        for shift in one.shifts:
            if shift.beyond_chance:
                line = f"{shift.outcome}: {shift.before:.1%} -> {shift.after:.1%} of the other videos"
                out.print(printable(f"  {line} (p {shift.p:.3g}, beyond chance)"))
        if one.shifts and not any(shift.beyond_chance for shift in one.shifts):
            out.print("  the other videos: no share changed beyond chance")


def print_decisions(out: Console, decisions: list[Decision]) -> None:
    """One video, span by span, with every comparison on the way."""
    first = decisions[0]
    out.print(printable(f"{first.source}: {first.path}"))
    frames = max(decision.span.stop_frame for decision in decisions)
    out.print(
        f"{frames} frames = {duration(frames)}, {first.input_bytes} bytes, sha256 {first.input_sha256 or 'unread'}"
    )
    for decision in decisions:
        style = {"kept": "green", "rejected": "", "failed": "red"}[decision.status]
        out.print(Text(f"{_when(decision.span)}  {verdict_text(decision)}", style=f"bold {style}".strip()))
        for check in decision.checks:
            out.print(Text(f"    {_comparison(check)}", style="dim"))


def verdict_text(decision: Decision) -> str:
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
