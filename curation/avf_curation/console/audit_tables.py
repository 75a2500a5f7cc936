"""The audit of a run as tables."""

from avf_shards.format.content import Content, format_amount
from avf_shards.format.plan_summary import PlanSummary
from avf_shards.text import count_noun
from rich.console import Console
from rich.table import Table
from rich.text import Text

from avf_curation.audit.funnel import LedgerSummary, SourceSummary
from avf_curation.audit.undecided import GateCount
from avf_curation.console.tables import plain_text


def print_audit(out: Console, summary: LedgerSummary) -> None:
    """Print input = kept + rejected + failed per source, then every reason and error."""
    if not summary.finished:
        out.print(Text("The run is not finished; this is what is committed so far.", style="yellow"))
    table = Table("source", box=None, header_style="bold", pad_edge=False)
    content = summary.content
    first = ("videos", "clips", "input") if content == "clips" else ("pictures",)
    for name in (*first, "= kept", "+ rejected", "+ failed", "kept %"):
        table.add_column(name, justify="right")
    for name, source in summary.sources.items():
        table.add_row(name, *_row(source, content))
    if len(summary.sources) > 1:
        table.add_section()
        totals = SourceSummary(reasons={}, errors={}, **summary.totals)
        table.add_row("all", *_row(totals, content), style="bold")
    out.print(table)
    for name, source in summary.sources.items():
        out.print()
        out.print(Text(name, style="bold"))
        for stage, gate in summary.gates.get(name, {}).items():
            out.print(f"  {stage}: {'only measured' if gate == 'measure' else 'skipped'} by the recipe")
        for stage, count in summary.gate_counts.get(name, {}).items():
            out.print(f"  {stage}: {describe_gate(count, content)}")
        for kind, group, style in (("rejected", source.reasons, ""), ("failed", source.errors, "red")):
            for reason, entry in group.items():
                share = entry["frames"] / max(1, source.input_frames)
                spans = count_noun(entry["spans"], "span") if content == "clips" else ""
                line = f"  {kind:<9}{reason:<28}{spans:>12}{format_amount(entry['frames'], content):>12}{share:>8.1%}"
                out.print(Text(line, style=style))
    out.print()
    backends = ", ".join(f"{stage}={name}" for stage, name in sorted(summary.backends.items()))
    out.print(f"backends {backends}; settings {summary.fingerprint}")
    if summary.plan:
        out.print(plain_text(describe_plan(summary.plan)))
    if summary.unreadable:
        out.print(Text(summary.unreadable_sentence, style="red"))
    if summary.duplicate_inputs:
        out.print(f"inputs with the bytes of another input: {summary.duplicate_inputs:,}; pack takes their clips once")
    for name in summary.accounting_errors:
        out.print(Text("accounting error, spans leave a gap or overlap: ", style="red") + plain_text(name))


def describe_plan(plan: PlanSummary) -> str:
    """Return the name, date and inputs of a run as one line."""
    planned = plan.planned.replace("T", " ").removesuffix("Z")
    inputs = count_noun(plan.videos, "input")
    return f"run {plan.name}: {inputs} (digest {plan.inputs_sha256[:16]}), planned {planned} UTC"


def describe_gate(count: GateCount, content: Content = "clips") -> str:
    """Return how many kept spans passed a gate and how many it could not measure, in words."""
    noun = "kept span" if content == "clips" else "kept picture"
    text = f"{count_noun(count.passed, noun)} passed, {count.not_measured:,} not measured"
    reasons = ", ".join(f"{reason} {spans:,}" for reason, spans in count.checks.items())
    return f"{text} ({reasons})" if reasons else text


def _row(source: SourceSummary, content: Content) -> list[str]:
    share = source.kept_frames / max(1, source.input_frames)
    frames = (source.input_frames, source.kept_frames, source.rejected_frames, source.failed_frames)
    first = [str(source.videos), str(source.clips)] if content == "clips" else []
    return [*first, *(format_amount(n, content) for n in frames), f"{share:.1%}"]
