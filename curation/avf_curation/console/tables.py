"""Terminal output: tables of audits, comparisons and reviews. Names from outside are shown as plain text."""

from avf_shards.format.plan_summary import PlanSummary
from avf_shards.schema.ledger import Decision
from avf_shards.text import count_noun
from avf_shards.timeline import Span
from rich.console import Console
from rich.table import Table
from rich.text import Text

from avf_curation.audit.agreement import Agreement
from avf_curation.audit.calibrate import Calibration
from avf_curation.audit.compare import ALPHA, Comparison
from avf_curation.audit.confidence import wilson_interval
from avf_curation.audit.explain import check_text, input_notes, verdict_text
from avf_curation.audit.funnel import LedgerSummary, SourceSummary, format_duration
from avf_curation.audit.review import StageReview
from avf_curation.audit.undecided import GateCount
from avf_curation.audit.what_if import WhatIf
from avf_curation.stages.checks import STAGES

FEW = 10  # of each kind, in a report for a terminal


def printable(text: str) -> Text:
    """Return text from outside with its control characters escaped; markup in it has no effect."""
    return Text("".join(c if c.isprintable() else repr(c)[1:-1] for c in text))


def print_audit(out: Console, summary: LedgerSummary) -> None:
    """Print input = kept + rejected + failed per source, then every reason and error."""
    if not summary.finished:
        out.print(Text("The run is not finished; this is what is committed so far.", style="yellow"))
    table = Table("source", box=None, header_style="bold", pad_edge=False)
    for name in ("videos", "clips", "input", "= kept", "+ rejected", "+ failed", "kept %"):
        table.add_column(name, justify="right")
    for name, source in summary.sources.items():
        table.add_row(name, *_row(source))
    if len(summary.sources) > 1:
        table.add_section()
        totals = SourceSummary(reasons={}, errors={}, **summary.totals)
        table.add_row("all", *_row(totals), style="bold")
    out.print(table)
    for name, source in summary.sources.items():
        out.print()
        out.print(Text(name, style="bold"))
        for stage, gate in summary.gates.get(name, {}).items():
            out.print(f"  {stage}: {'only measured' if gate == 'measure' else 'skipped'} by the recipe")
        for stage, count in summary.gate_counts.get(name, {}).items():
            out.print(f"  {stage}: {describe_gate(count)}")
        for kind, group, style in (("rejected", source.reasons, ""), ("failed", source.errors, "red")):
            for reason, entry in group.items():
                share = entry["frames"] / max(1, source.input_frames)
                spans = count_noun(entry["spans"], "span")
                line = f"  {kind:<9}{reason:<28}{spans:>12}{format_duration(entry['frames']):>12}{share:>8.1%}"
                out.print(Text(line, style=style))
    out.print()
    backends = ", ".join(f"{stage}={name}" for stage, name in sorted(summary.backends.items()))
    out.print(f"backends {backends}; settings {summary.fingerprint}")
    if summary.plan:
        out.print(printable(describe_plan(summary.plan)))
    if summary.duplicate_inputs:
        out.print(f"inputs with the bytes of another input: {summary.duplicate_inputs:,}; pack takes their clips once")
    for name in summary.accounting_errors:
        out.print(Text("accounting error, spans leave a gap or overlap: ", style="red") + printable(name))


def describe_plan(plan: PlanSummary) -> str:
    """Return the name, date and inputs of a run as one line."""
    planned = plan.planned.replace("T", " ").removesuffix("Z")
    inputs = count_noun(plan.videos, "input")
    return f"run {plan.name}: {inputs} (digest {plan.inputs_sha256[:16]}), planned {planned} UTC"


def describe_gate(count: GateCount) -> str:
    """Return how many kept spans passed a gate and how many it could not measure, in words."""
    text = f"{count_noun(count.passed, 'kept span')} passed, {count.not_measured:,} not measured"
    reasons = ", ".join(f"{reason} {spans:,}" for reason, spans in count.checks.items())
    return f"{text} ({reasons})" if reasons else text


def _row(source: SourceSummary) -> list[str]:
    share = source.kept_frames / max(1, source.input_frames)
    frames = (source.input_frames, source.kept_frames, source.rejected_frames, source.failed_frames)
    return [str(source.videos), str(source.clips), *(format_duration(n) for n in frames), f"{share:.1%}"]


def print_what_if(out: Console, what_if: WhatIf) -> None:
    """Print per source what is kept before and after, what changes, and what only a new run can tell."""
    for name, limits in sorted(what_if.thresholds.items()):
        requested = ", ".join(
            f"{check} at {limit if isinstance(limit, str) else format(limit, 'g')}" for check, limit in limits.items()
        )
        out.print(printable(f"{name or 'every source'}: {requested}"))
    for setting, reason in what_if.notes.items():
        out.print(printable(f"{setting}: 0 changes: {reason}"))
    table = Table("source", box=None, header_style="bold", pad_edge=False)
    for heading in ("kept before", "after", "", "newly rejected", "admitted", "unknown"):
        table.add_column(heading, justify="right")
    unknown: dict[str, int] = {}
    for name, source in what_if.sources.items():
        share = source.kept_after / source.kept_before - 1 if source.kept_before else 0.0
        moved = map(format_duration, (source.rejected, source.admitted, source.unknown))
        kept = format_duration(source.kept_before), format_duration(source.kept_after)
        table.add_row(printable(name), *kept, f"{share:+.1%}", *moved)
        for stage, count in source.unknown_after.items():
            unknown[stage] = unknown.get(stage, 0) + count
    out.print(table)
    for stage, count in sorted(unknown.items()):
        later = ", ".join(STAGES[STAGES.index(stage) + 1 :]) or "the pooled watermark"
        out.print(
            f"unknown: {format_duration(count)} would pass {stage}, but {later} never measured them; "
            "only a new run can tell"
        )
    spans = {name: source.unknown_spans for name, source in what_if.sources.items() if source.unknown_spans}
    if spans:
        out.print("spans unknown: " + ", ".join(f"{name} {count:,}" for name, count in spans.items()))
    for name, source in what_if.sources.items():
        if source.sampled_spans:
            passing = wilson_interval(source.sampled_pass_spans, source.sampled_spans)
            out.print(
                f"{name}: of {source.sampled_spans:,} such spans that were measured on (score_all), "
                f"{source.sampled_pass_spans:,} would be kept: {passing.as_percent()}"
            )


def print_calibration(out: Console, calibration: Calibration) -> None:
    """Print the threshold in use and the proposed one for each check, then the settings for a command line."""
    table = Table("check", box=None, header_style="bold", pad_edge=False)
    for heading in (
        "spans",
        "not measured",
        "groups",
        "now",
        "passes",
        f"{calibration.keep:.0%} pass at",
        "95 % interval",
        "passes then",
    ):
        table.add_column(heading, justify="right")
    for proposal in calibration.proposals:
        cells = (
            f"{proposal.spans:,}",
            f"{proposal.not_measured:,}",
            f"{proposal.groups:,}",
            f"{proposal.now:g}",
            f"{proposal.passes.value:.1%}",
        )
        interval = f"{proposal.low:.4g} to {proposal.high:.4g}"
        table.add_row(proposal.check, *cells, f"{proposal.proposed:.4g}", interval, f"{proposal.passes_proposed:.1%}")
    out.print(table)
    out.print(
        "now: threshold in use, and the share of the measured spans that passes it; groups: recordings or sessions; "
        "not measured: spans without a score, whose verdict gates.undecided sets."
    )
    out.print("Each threshold is proposed alone; together they keep fewer spans. Intervals count groups, not spans.")
    for proposal in calibration.proposals:
        if proposal.usable:
            out.print(f"  --set sources.{calibration.source}.{proposal.setting}={proposal.proposed:.4g}")
    for proposal in calibration.proposals:
        if not proposal.usable:
            out.print(
                f"  no proposal for {proposal.check}: many spans have the same score, so no threshold passes "
                f"{calibration.keep:.0%}; {proposal.proposed:.4g} passes {proposal.passes_proposed:.1%}"
            )


def print_review(out: Console, rows: list[StageReview], answers: int, questions: int) -> None:
    """Print precision and recall per source and stage, as far as spans are judged."""
    out.print(
        f"{answers:,} of {count_noun(questions, 'span')} answered; intervals are 95 % (Wilson), recall's are wider"
    )
    table = Table("source", "verdicts of", box=None, header_style="bold", pad_edge=False)
    for heading in ("spans", "judged", "unsure", "precision", "recall"):
        table.add_column(heading, justify="right")
    for row in rows:
        cells = (f"{row.spans:,}", str(row.judged), str(row.unsure))
        shares = [share.as_percent() if row.judged else "not judged" for share in (row.precision, row.recall)]
        table.add_row(printable(row.source), row.stage, *cells, *shares)
    out.print(table)


def print_agreement(out: Console, agreement: Agreement) -> None:
    """Print how far every two reviewers agree, and the first spans on which they do not; nothing for one reviewer."""
    if not agreement.pairs:
        return
    out.print()
    table = Table("reviewers", box=None, header_style="bold", pad_edge=False)
    for heading in ("both answered", "same answer", "Cohen's kappa"):
        table.add_column(heading, justify="right")
    for pair in agreement.pairs:
        kappa = "no value" if pair.kappa is None else f"{pair.kappa:.2f}"
        table.add_row(printable(f"{pair.first}, {pair.second}"), str(pair.spans), str(pair.agreed), kappa)
    out.print(table)
    if len(agreement.pairs) > 1 and agreement.mean_kappa is not None:
        out.print(f"mean kappa {agreement.mean_kappa:.2f}")
    out.print("kappa: 1 is full agreement, 0 that of chance; it has no value where all answers are the same")
    if agreement.disagreements:
        out.print(f"{count_noun(len(agreement.disagreements), 'span')} with different answers:")
    for entry in agreement.disagreements[:FEW]:
        answers = ", ".join(f"{name} {answer}" for name, answer in entry.answers.items())
        out.print(printable(f"  {entry.span} ({entry.stratum}): {answers}"))
    if len(agreement.disagreements) > FEW:
        out.print("  ... and more; --json has all")


def print_comparison(out: Console, comparison: Comparison) -> None:
    """Print per source which verdicts of the same videos changed, and which shares of other videos did."""
    for source in comparison.sources:
        out.print(
            printable(
                f"{source.source}: {count_noun(source.videos_before, 'video')} before, {source.videos_after:,} after"
            )
        )
        if source.common:
            significance = "beyond chance" if source.sign_p < ALPHA else "could be chance"
            out.print(
                f"  {source.common:,} with the same bytes: {source.gained:,} keep more now, {source.lost:,} keep less "
                f"(p {source.sign_p:.3g}, {significance})"
                if source.gained or source.lost
                else f"  {source.common:,} with the same bytes, each keeps as much as before"
            )
        for move in source.moved[:FEW]:
            out.print(
                printable(
                    f"    {format_duration(move.frames):>10} in {count_noun(move.videos, 'video')}: "
                    f"{move.before} -> {move.after}"
                )
            )
        if len(source.moved) > FEW:
            out.print(f"    and {len(source.moved) - FEW} more kinds of change (--json - lists all)")
        for shift in source.shifts:
            if shift.beyond_chance:
                line = f"{shift.outcome}: {shift.before:.1%} -> {shift.after:.1%} of the other videos"
                out.print(printable(f"  {line} (p {shift.p:.3g}, beyond chance)"))
        if source.shifts and not any(shift.beyond_chance for shift in source.shifts):
            out.print("  the other videos: no share changed beyond chance")


def print_decisions(out: Console, decisions: list[Decision]) -> None:
    """Print the verdict of each span of one video, with every check."""
    first = decisions[0]
    out.print(printable(f"{first.source}: {first.path}"))
    frames = max(decision.span.stop_frame for decision in decisions)
    out.print(
        f"{count_noun(frames, 'frame')} = {format_duration(frames)}, {first.input_bytes} bytes, "
        f"sha256 {first.input_sha256 or 'unread'}"
    )
    for note in input_notes(decisions):
        out.print(printable(note))
    for decision in decisions:
        style = {"kept": "green", "rejected": "", "failed": "red"}[decision.status]
        out.print(Text(f"{_format_span(decision.span)}  {verdict_text(decision)}", style=f"bold {style}".strip()))
        for check in decision.checks:
            out.print(Text(f"    {check_text(check)}", style="dim"))


def _format_span(span: Span) -> str:
    return f"{_clock(span.start_s)} to {_clock(span.stop_s)}"


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60):02d}:{seconds % 60:05.2f}"
