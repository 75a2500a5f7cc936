"""The decisions on one video, span by span."""

from avf_shards.format.content import Content
from avf_shards.schema.ledger import Decision
from avf_shards.text import count_noun
from avf_shards.timeline import Span, format_duration
from rich.console import Console
from rich.text import Text

from avf_curation.audit.explain import check_text, input_notes, verdict_text
from avf_curation.console.tables import plain_text


def print_decisions(out: Console, decisions: list[Decision], content: Content = "clips") -> None:
    """Print the verdict of each span of one video, with every check."""
    first = decisions[0]
    out.print(plain_text(f"{first.source}: {first.path}"))
    frames = max(decision.span.stop_frame for decision in decisions)
    length = f"{count_noun(frames, 'frame')} = {format_duration(frames)}" if content == "clips" else "one picture"
    out.print(f"{length}, {first.input_bytes} bytes, sha256 {first.input_sha256 or 'unread'}")
    for note in input_notes(decisions):
        out.print(plain_text(note))
    for decision in decisions:
        style = {"kept": "green", "rejected": "", "failed": "red"}[decision.status]
        where = f"{_format_span(decision.span)}  " if content == "clips" else ""
        out.print(Text(f"{where}{verdict_text(decision)}", style=f"bold {style}".strip()))
        for check in decision.checks:
            out.print(Text(f"    {check_text(check)}", style="dim"))


def _format_span(span: Span) -> str:
    return f"{_clock(span.start_s)} to {_clock(span.stop_s)}"


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60):02d}:{seconds % 60:05.2f}"
