"""Learning curve of a run as a figure: the loss and its parts by step, from metrics.jsonl."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avf_shards.system.storage_faults import name_path

from avf_training.trainer.figures import DPI, PALETTE, WIDTH_IN, load_pyplot, put_legend_below, use_few_ticks
from avf_training.trainer.metrics_writer import EVALUATION, METRICS, read_lines
from avf_training.trainer.smoothing import smooth_curve

CURVE = "curve.png"
_MEAN_IMAGE = "mse/mean image"  # error by that of the training clips' mean image
_RATIOS = "validation (log axis)"
_TITLES = {  # start of a score's name -> title of the axis that it is drawn on
    "mse/": _RATIOS,
    "R@1/chance": _RATIOS,
    "rank/": "rank of the frozen features",
    "uniformity/": "spread of the frozen features",
    "alignment": "spread of the frozen features",
}
_NOT_LOSSES = ("step", "lr", "grad_norm", "skipped")


def draw_learning_curve(run: Path) -> Path:
    """Draw RUN/curve.png and return its path: each part of the loss, and validation scores where there are any.

    The axes stand in one column, so that a phone shows them at the size of its text.
    """
    pyplot = load_pyplot()
    from matplotlib.ticker import MaxNLocator

    rows, scores = read_lines(run / METRICS), read_lines(run / EVALUATION)
    parts = [name for name in rows[0] if name not in _NOT_LOSSES] if rows else []
    groups = _group_scores(scores)
    count = max(1, len(parts) + len(groups))
    heights = [2.1] * len(parts) + [3.0] * len(groups) or [2.1]
    figure, axes = pyplot.subplots(
        count, 1, figsize=(WIDTH_IN, sum(heights)), squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    for (axis,), name in zip(axes, parts, strict=False):  # the axes after these are those of the scores
        points = [(row["step"] + 1, row[name]) for row in rows if row[name] is not None]
        steps, values = zip(*points, strict=True) if points else ((), ())
        axis.plot(steps, values, color=PALETTE.soft, alpha=0.35, linewidth=0.8)
        indices, smoothed = smooth_curve(values)
        marker = "o" if len(indices) == 1 else None  # a line through a single point is invisible
        axis.plot([steps[index] for index in indices], smoothed, color=PALETTE.series[0], linewidth=2, marker=marker)
        axis.set_title(f"{name} (smoothed; raw values behind)" if name == parts[0] else name)
        use_few_ticks(axis)
    for (axis,), (title, names) in zip(axes[len(parts) :], groups.items(), strict=False):
        _draw_scores(axis, scores, title, names)
    for (axis,) in axes:
        axis.set_xlim(0, 1.02 * (rows[-1]["step"] + 1) if rows else 1)
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes[-1][0].set_xlabel("step")
    with name_path(run / CURVE):
        figure.savefig(run / CURVE, dpi=DPI)
    pyplot.close(figure)
    return run / CURVE


def _group_scores(scores: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return title -> names of the scores that share an axis: ratios, what frozen features are like, all others."""
    groups: dict[str, list[str]] = {}
    for name in scores[0] if scores else ():
        if name != "step":
            start = next((start for start in _TITLES if name.startswith(start)), "")
            groups.setdefault(_TITLES.get(start, "scores, higher is better"), []).append(name)
    return groups


def _draw_scores(axis: Any, scores: Sequence[Mapping[str, Any]], title: str, names: Sequence[str]) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    for name in names:
        points = [(row["step"] + 1, row[name]) for row in scores if row.get(name) is not None]
        axis.plot(*zip(*points, strict=True) if points else ((), ()), "o-", markersize=4, label=name)
    if title == _RATIOS:
        # At 1 a ratio to a mean predictor or to chance is no better than these; other scores are perfect at 1.
        axis.axhline(1, color=PALETTE.soft, linewidth=1, linestyle="--", label="1: no better than mean or chance")
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(base=2))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_locator(NullLocator())
        worse = scores[-1].get(_MEAN_IMAGE) is not None and scores[-1][_MEAN_IMAGE] > 1
        title += ": worse than the mean image" if worse else ""
    axis.set_title(title)
    use_few_ticks(axis)
    put_legend_below(axis, 2)
