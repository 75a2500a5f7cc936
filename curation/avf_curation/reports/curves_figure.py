"""The figure of one video over time: the verdict of each span, and below it speaking, mouth and sound.

The curves are those that the speaker stage wrote into the ledger, so no video is read. A span that the stage did not
measure has none.
"""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from avf_shards.errors import FaultError, UserError
from avf_shards.pages.palette import LIGHT
from avf_shards.schema.curve import MOUTH_STEP, SOUND_STEP, SPEAKING_STEP, read_curve
from avf_shards.schema.ledger import Decision, parse_measurements
from avf_shards.system import durable_io
from avf_shards.system.own_files import PROGRAM
from avf_shards.text import printable
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_curation.stages import speaker

_WIDTH_IN, _HEIGHT_IN, _DPI = 9.0, 5.6, 150
_COLOURS = {"kept": LIGHT.kept, "rejected": LIGHT.rejected, "failed": LIGHT.failed}


@dataclass(frozen=True, kw_only=True)
class _Panel:
    """One curve below the verdicts."""

    field: str  # of the measurements of the speaker stage
    step: float  # of the curve
    title: str  # with its unit


_PANELS = (
    _Panel(field="speaking_curve", step=SPEAKING_STEP, title="speaks (above 0)"),
    _Panel(field="mouth_curve", step=MOUTH_STEP, title="mouth (grey levels)"),
    _Panel(field="sound_curve", step=SOUND_STEP, title="sound (dBFS)"),
)


def draw_curves(decisions: Sequence[Decision], out: Path) -> None:
    """Draw the decisions of one video, in the order of their spans, into a PNG file.

    Raises UserError where no span has curves, and FaultError for a ledger that is damaged.
    """
    name = f"{decisions[0].source}/{decisions[0].video_id}"
    measured = [
        parse_measurements(decision.measurements, f"ledger: {name}: measurements").get(speaker.STAGE, {})
        for decision in decisions
    ]
    if not any(table.get(panel.field) for table in measured for panel in _PANELS):
        raise UserError(
            f"{name}: the run has no curves of it, because the stage `speaker` measured none of its spans; it needs "
            "the weights of LR-ASD (avf-curate weights pull lr_asd), and a span that got so far (gates.score_all)"
        )
    from matplotlib.figure import Figure  # takes a second to import, and most answers draw nothing
    from matplotlib.patches import Patch

    figure = Figure(figsize=(_WIDTH_IN, _HEIGHT_IN), layout="constrained")
    verdicts, *axes = figure.subplots(1 + len(_PANELS), 1, sharex=True, height_ratios=[0.35, 1, 1, 1])
    _draw_verdicts(verdicts, decisions, name)
    for axis, panel in zip(axes, _PANELS, strict=True):
        for decision, table in zip(decisions, measured, strict=True):
            _draw_curve(axis, decision, panel, _read_values(decision, table, panel))
        axis.set_ylabel(panel.title)
    verdict_colours = [Patch(color=colour, label=status) for status, colour in _COLOURS.items()]
    figure.legend(handles=verdict_colours, loc="outside lower right", ncols=len(_COLOURS), frameon=False)
    axes[0].axhline(0, color=LIGHT.soft, linewidth=1, linestyle="--")
    axes[-1].set_xlabel("seconds of the video")
    axes[-1].set_xlim(decisions[0].span.start_s, max(decision.span.stop_s for decision in decisions))
    data = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # a name in letters that the font lacks has boxes there
        figure.savefig(data, dpi=_DPI, format="png", metadata={"Software": PROGRAM})
    durable_io.replace_file(out, data.getvalue())


def _draw_verdicts(axis: Any, decisions: Sequence[Decision], name: str) -> None:
    """Draw a bar for each span in the colour of its verdict, with its reason where there is room."""
    length_s = max(decision.span.stop_s for decision in decisions)
    for decision in decisions:
        start_s, width_s = decision.span.start_s, decision.span.seconds
        axis.broken_barh([(start_s, width_s)], (0, 1), color=_COLOURS[decision.status], edgecolor=LIGHT.paper)
        word = decision.reason or decision.error or decision.status
        if width_s * 90 >= len(word) * length_s:  # about 90 letters fit beside each other
            axis.text(start_s + width_s / 2, 0.5, word, ha="center", va="center", color=LIGHT.paper, parse_math=False)
    # A file may be called anything: what stands between two dollar signs would be read as a formula.
    axis.set_title(printable(name)[-100:], loc="left", parse_math=False)
    axis.set_yticks([])


def _read_values(decision: Decision, table: dict[str, Any], panel: _Panel) -> npt.NDArray[np.float64]:
    """Return the curve of a span, (T,), empty where it was not measured. Raises FaultError."""
    where, text = f"ledger: {decision.video_id}: {speaker.STAGE}.{panel.field}", table.get(panel.field)
    if text is None:
        return np.zeros(0)
    if not isinstance(text, str):
        raise FaultError(f"{where}: must be text")
    values_T = read_curve(text, panel.step, where)
    if len(values_T) != decision.span.frames:
        raise FaultError(f"{where}: has {len(values_T)} values for {decision.span.frames} frames")
    return values_T


def _draw_curve(axis: Any, decision: Decision, panel: _Panel, values_T: npt.NDArray[np.float64]) -> None:
    times_T = (decision.span.start_frame + np.arange(len(values_T))) / FRAMES_PER_SECOND
    axis.plot(times_T, values_T, color=LIGHT.series[0], linewidth=1.2)
    if panel.field == "speaking_curve":
        axis.fill_between(times_T, 0, values_T, where=values_T > 0, color=LIGHT.series[0], alpha=0.25)
