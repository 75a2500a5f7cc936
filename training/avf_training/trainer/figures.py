"""The set-up of matplotlib for all figures of this package: one column that a phone shows without zooming."""

import textwrap
from pathlib import Path
from typing import IO, Any

from avf_shards.pages.palette import LIGHT
from avf_shards.system.own_files import PROGRAM

# A figure this wide fills a phone of 390 px with a point of type for each pixel; 200 dots an inch keep it sharp.
WIDTH_IN = 5.4
DPI = 200
PALETTE = LIGHT  # a file has one background


def load_pyplot() -> Any:
    """Return matplotlib.pyplot set up to draw into files, without a display, in the style of the pages.

    A function, because the import takes a second and most commands draw nothing.
    """
    import matplotlib
    from cycler import cycler

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update(
        {
            "font.size": 11,
            "axes.titlesize": 12,
            "axes.titlelocation": "left",
            "axes.labelsize": 11,
            "xtick.labelsize": 11,
            "ytick.labelsize": 11,
            "legend.fontsize": 11,
            "legend.frameon": False,
            "text.color": PALETTE.ink,
            "axes.labelcolor": PALETTE.ink,
            "axes.edgecolor": PALETTE.soft,
            "xtick.color": PALETTE.soft,
            "ytick.color": PALETTE.soft,
            "xtick.labelcolor": PALETTE.ink,
            "ytick.labelcolor": PALETTE.ink,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": cycler(color=PALETTE.series),
            "figure.facecolor": PALETTE.paper,
            "figure.constrained_layout.use": True,
        }
    )
    return pyplot


def save_figure(figure: Any, file: Path | IO[bytes], ending: str) -> None:
    """Write a figure of matplotlib, whose metadata name this program: it may replace such a file later.

    ending: of its format, `.png`, `.jpg`, `.pdf` or `.svg`.
    """
    kind = ending.lower().removeprefix(".")
    if kind in ("jpg", "jpeg"):
        figure.savefig(file, dpi=DPI, format=kind, pil_kwargs={"comment": PROGRAM})
        return
    figure.savefig(file, dpi=DPI, format=kind, metadata={"Software" if kind == "png" else "Creator": PROGRAM})


def use_few_ticks(axis: Any) -> None:
    """Draw at most five ticks on each linear axis."""
    from matplotlib.ticker import MaxNLocator

    for side, scale in ((axis.xaxis, axis.get_xscale()), (axis.yaxis, axis.get_yscale())):
        if scale == "linear":
            side.set_major_locator(MaxNLocator(4))


def put_legend_below(axis: Any, columns: int) -> None:
    """Draw the legend of an axis under it."""
    axis.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.24), ncols=columns, columnspacing=1.2, handlelength=1.2)


def wrap_text(text: str, characters: int) -> str:
    """Return `text` with each line broken to at most so many characters, within words where a word is longer."""
    return "\n".join(part for line in text.splitlines() for part in textwrap.wrap(line, characters) or [""])
