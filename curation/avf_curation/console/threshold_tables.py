"""What other thresholds would change, and which thresholds a calibration proposes, as tables."""

from avf_shards.format.content import Content, format_amount
from rich.console import Console
from rich.table import Table

from avf_curation.audit.calibrate import Calibration
from avf_curation.audit.confidence import wilson_interval
from avf_curation.audit.what_if import WhatIf
from avf_curation.console.tables import plain_text
from avf_curation.stages.checks import STAGES


def print_what_if(out: Console, what_if: WhatIf, content: Content = "clips", stages: tuple[str, ...] = STAGES) -> None:
    """Print per source what is kept before and after, what changes, and what only a new run can tell.

    stages: of the run, in their order.
    """
    for name, limits in sorted(what_if.thresholds.items()):
        requested = ", ".join(
            f"{check} at {limit if isinstance(limit, str) else format(limit, 'g')}" for check, limit in limits.items()
        )
        out.print(plain_text(f"{name or 'every source'}: {requested}"))
    for setting, reason in what_if.notes.items():
        out.print(plain_text(f"{setting}: 0 changes: {reason}"))
    table = Table("source", box=None, header_style="bold", pad_edge=False)
    for heading in ("kept before", "after", "", "newly rejected", "admitted", "unknown"):
        table.add_column(heading, justify="right")
    unknown: dict[str, int] = {}
    for name, source in what_if.sources.items():
        share = source.kept_after / source.kept_before - 1 if source.kept_before else 0.0
        moved = (format_amount(n, content) for n in (source.rejected, source.admitted, source.unknown))
        before_and_after = (format_amount(n, content) for n in (source.kept_before, source.kept_after))
        table.add_row(plain_text(name), *before_and_after, f"{share:+.1%}", *moved)
        for stage, count in source.unknown_after.items():
            unknown[stage] = unknown.get(stage, 0) + count
    out.print(table)
    for stage, count in sorted(unknown.items()):
        later = ", ".join(stages[stages.index(stage) + 1 :]) or "the pooled watermark"
        out.print(
            f"unknown: {format_amount(count, content)} would pass {stage}, but {later} never measured them; "
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
    if not calibration.proposals:
        reason = "no check of its spans has two scores that differ; curate more of it"
        out.print(plain_text(f"no proposal for {calibration.source}: {reason}"))
        return
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
