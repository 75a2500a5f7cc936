"""The comparison of two runs, source by source."""

from avf_shards.text import count_noun
from avf_shards.timeline import format_duration
from rich.console import Console

from avf_curation.audit.compare import ALPHA, Comparison
from avf_curation.console.tables import FEW, plain_text


def print_comparison(out: Console, comparison: Comparison) -> None:
    """Print per source which verdicts of the same videos changed, and which shares of other videos did."""
    if comparison.backends:
        changes = ", ".join(map(str, comparison.backends))
        out.print(plain_text(f"measured with different backends, which alone can change verdicts: {changes}"))
    for source in comparison.sources:
        out.print(
            plain_text(
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
                plain_text(
                    f"    {format_duration(move.frames):>10} in {count_noun(move.videos, 'video')}: "
                    f"{move.before} -> {move.after}"
                )
            )
        if len(source.moved) > FEW:
            out.print(f"    and {len(source.moved) - FEW} more kinds of change (--json - lists all)")
        for shift in source.shifts:
            if shift.beyond_chance:
                line = f"{shift.outcome}: {shift.before:.1%} -> {shift.after:.1%} of the other videos"
                out.print(plain_text(f"  {line} (p {shift.p:.3g}, beyond chance)"))
        if source.shifts and not any(shift.beyond_chance for shift in source.shifts):
            out.print("  the other videos: no share changed beyond chance")
