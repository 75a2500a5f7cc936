"""Learning curve of a run as a figure: the loss and its parts by step, from metrics.jsonl."""

from collections.abc import Sequence
from pathlib import Path

from avf_training.trainer.figures import load_pyplot
from avf_training.trainer.metrics_writer import EVALUATION, METRICS, read_lines

CURVE = "curve.png"
_NOT_LOSSES = ("step", "lr", "grad_norm", "skipped")


def draw_learning_curve(run: Path) -> Path:
    """Draw RUN/curve.png and return its path: each part of the loss, and validation scores where there are any."""
    pyplot = load_pyplot()

    rows, scores = read_lines(run / METRICS), read_lines(run / EVALUATION)
    parts = [name for name in rows[0] if name not in _NOT_LOSSES] if rows else []
    score_names = [name for name in scores[0] if name != "step"] if scores else []
    count = max(1, len(parts) + bool(score_names))
    figure, axes = pyplot.subplots(1, count, figsize=(3.4 * count, 2.8), squeeze=False, layout="constrained")
    for axis, name in zip(axes[0], parts, strict=False):  # the last axis may be that of the scores
        points = [(row["step"] + 1, row[name]) for row in rows if row[name] is not None]
        steps, values = zip(*points, strict=True) if points else ((), ())
        axis.plot(steps, values, color="0.75", linewidth=0.8)
        axis.plot(steps, _smooth(values), color="tab:blue", linewidth=1.6)
        axis.set_title(name, fontsize=10)
    if score_names:
        for name in score_names:
            axes[0][-1].plot([row["step"] + 1 for row in scores], [row[name] for row in scores], "o-", label=name)
        # Scores of pre-training are ratios to a mean predictor or to chance; at 1 the model is no better than these.
        axes[0][-1].axhline(1, color="0.6", linewidth=0.8, linestyle="--")
        axes[0][-1].set_yscale("log")
        axes[0][-1].yaxis.set_major_formatter("{x:g}")
        axes[0][-1].yaxis.set_minor_formatter("{x:g}")
        axes[0][-1].set_title("validation", fontsize=10)
        axes[0][-1].legend(fontsize=7)
    for axis in axes[0]:
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(which="both", labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(run / CURVE, dpi=120)
    pyplot.close(figure)
    return run / CURVE


def _smooth(values: Sequence[float], share: float = 0.9) -> list[float]:
    """Return the exponential running mean, corrected for its start at zero as Adam corrects its moments."""
    smoothed, total, weight = [], 0.0, 0.0
    for value in values:
        total, weight = share * total + value, share * weight + 1
        smoothed.append(total / weight)
    return smoothed
