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
_NOT_LOSSES = ("step", "lr", "grad_norm", "skipped")


def draw_learning_curve(run: Path) -> Path:
    """Draw RUN/curve.png and return its path: each part of the loss, and validation scores where there are any.

    The axes stand in one column, so that a phone shows them at the size of its text.
    """
    pyplot = load_pyplot()

    rows, scores = read_lines(run / METRICS), read_lines(run / EVALUATION)
    parts = [name for name in rows[0] if name not in _NOT_LOSSES] if rows else []
    score_names = [name for name in scores[0] if name != "step"] if scores else []
    count = max(1, len(parts) + bool(score_names))
    heights = [2.1] * len(parts) + [3.0] * bool(score_names) or [2.1]
    figure, axes = pyplot.subplots(
        count, 1, figsize=(WIDTH_IN, sum(heights)), squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    for (axis,), name in zip(axes, parts, strict=False):  # the last axis may be that of the scores
        points = [(row["step"] + 1, row[name]) for row in rows if row[name] is not None]
        steps, values = zip(*points, strict=True) if points else ((), ())
        axis.plot(steps, values, color=PALETTE.soft, alpha=0.35, linewidth=0.8)
        indices, smoothed = smooth_curve(values)
        axis.plot([steps[index] for index in indices], smoothed, color=PALETTE.series[0], linewidth=2)
        axis.set_title(f"{name} (smoothed; raw values behind)" if name == parts[0] else name)
        use_few_ticks(axis)
    if score_names:
        _draw_scores(axes[-1][0], scores, score_names)
    for (axis,) in axes:
        axis.set_xlim(0, rows[-1]["step"] + 1 if rows else 1)
    axes[-1][0].set_xlabel("step")
    with name_path(run / CURVE):
        figure.savefig(run / CURVE, dpi=DPI)
    pyplot.close(figure)
    return run / CURVE


def _draw_scores(axis: Any, scores: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    for name in names:
        axis.plot([row["step"] + 1 for row in scores], [row[name] for row in scores], "o-", markersize=4, label=name)
    # Scores of pre-training are ratios to a mean predictor or to chance; at 1 the model is no better than these.
    axis.axhline(1, color=PALETTE.soft, linewidth=1, linestyle="--", label="1: no better than mean or chance")
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_locator(NullLocator())
    worse = scores[-1].get(_MEAN_IMAGE) is not None and scores[-1][_MEAN_IMAGE] > 1
    axis.set_title(f"validation{': worse than the mean image' if worse else ''}")
    use_few_ticks(axis)
    put_legend_below(axis, 2)
