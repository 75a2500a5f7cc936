"""Colours of the pages and of plots drawn in Python, for a light and a dark background.

The colours of series follow Okabe and Ito, who chose hues that people with any colour vision tell apart. Each colour is
made darker or lighter until text in that colour reaches the contrast of WCAG AA (4.5 to 1) on `paper` and on `panel`.
"""

from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class Palette:
    """Colours for one background, as #rrggbb."""

    paper: str  # background of the page
    panel: str  # background of boxes
    line: str  # borders and grid lines
    ink: str  # text
    soft: str  # text of less weight, axis labels
    accent: str  # links and focus
    kept: str  # kept spans, right answers
    rejected: str  # rejected spans
    failed: str  # failed spans, wrong answers, thresholds
    unmeasured: str  # what was not measured, unsure answers
    series: tuple[str, ...]  # colours of series without a meaning, most distinct first


LIGHT = Palette(
    paper="#ffffff",
    panel="#f4f6f9",
    line="#d7dde5",
    ink="#1b2330",
    soft="#556070",
    accent="#0b5cad",
    kept="#0b67a8",
    rejected="#a84f00",
    failed="#a0286f",
    unmeasured="#5f6b7a",
    series=("#0b67a8", "#a84f00", "#00755a", "#a0286f", "#6b6100", "#1c6f94"),
)
DARK = Palette(
    paper="#12161d",
    panel="#1b212b",
    line="#364150",
    ink="#e8ecf2",
    soft="#a9b4c3",
    accent="#7db8f5",
    kept="#62b3ee",
    rejected="#f0a04b",
    failed="#ee8fc6",
    unmeasured="#a3aebd",
    series=("#62b3ee", "#f0a04b", "#3fc79f", "#ee8fc6", "#e3d84a", "#8fd3f5"),
)


def css_properties(palette: Palette) -> str:
    """Return the CSS custom properties of a palette: --ink, --kept, ..., and --series-1 to --series-6."""
    named = {field.name: getattr(palette, field.name) for field in fields(palette) if field.name != "series"}
    numbered = {f"series-{number}": colour for number, colour in enumerate(palette.series, 1)}
    return " ".join(f"--{name}: {colour};" for name, colour in (named | numbered).items())
