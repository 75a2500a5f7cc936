"""Figures of a study's page: confusion matrix, recalls, curves, reliability, features in the plane.

Each function returns a figure as a data address, so that the page is one file.

Shapes: N clips, C classes, F features.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from avf_training.evaluation.scoring import Predictions
from avf_training.finetuning.model_selection import EpochScores, SelectionProtocol
from avf_training.trainer.figures import load_pyplot

pyplot = load_pyplot()

_BINS = 10  # of the confidence
_MAX_COUNTED_CLASSES = 13  # above, the cells are too small for numbers


def draw_confusion(title: str, names: Sequence[str], counts_CC: npt.NDArray[np.int64]) -> str:
    """Draw the shares of each true class, with counts where there is room."""
    classes = len(names)
    side = min(7.0, 1.6 + 0.42 * classes)
    figure, axis = pyplot.subplots(figsize=(side, side), layout="constrained")
    support_C1 = counts_CC.sum(1, keepdims=True)
    shares_CC = np.divide(counts_CC, support_C1, out=np.zeros(counts_CC.shape), where=support_C1 > 0)
    axis.imshow(shares_CC, cmap="Blues", vmin=0, vmax=1)
    if classes <= _MAX_COUNTED_CLASSES:
        for true in range(classes):
            for predicted in range(classes):
                if counts_CC[true, predicted]:
                    ink = "white" if shares_CC[true, predicted] > 0.55 else "black"
                    text = f"{counts_CC[true, predicted]}"
                    axis.text(predicted, true, text, ha="center", va="center", fontsize=8, color=ink)
    size = 8 if classes <= _MAX_COUNTED_CLASSES else 4
    axis.set_xticks(range(classes), names, rotation=60, ha="right", rotation_mode="anchor", fontsize=size)
    axis.set_yticks(range(classes), names, fontsize=size)
    axis.set_xlabel("predicted", fontsize=8)
    axis.set_ylabel("true", fontsize=8)
    axis.set_title(title, fontsize=9)
    return _png(figure)


def draw_recalls(names: Sequence[str], counts_CC: npt.NDArray[np.int64]) -> str:
    """Draw a bar for the recall of each class; a class without clips has none."""
    figure, axis = pyplot.subplots(figsize=(4.2, 0.9 + 0.22 * len(names)), layout="constrained")
    support_C = counts_CC.sum(1)
    values = [counts_CC[c, c] / support_C[c] if support_C[c] else 0.0 for c in range(len(names))]
    axis.barh(range(len(names)), values, color="tab:blue", height=0.65)
    labels = [f"{name} ({count})" for name, count in zip(names, support_C, strict=True)]
    axis.set_yticks(range(len(names)), labels, fontsize=8)
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    axis.set_title("recall of each class (clips)", fontsize=9)
    _style(axis)
    return _png(figure)


def draw_reliability(predictions: Predictions) -> tuple[str, float]:
    """Draw how often predictions of some confidence are right; return the figure and the calibration error (ECE)."""
    confidence_N = predictions.scores_NJ.max(1)
    right_N = predictions.scores_NJ.argmax(1) == predictions.truth
    bin_N = np.minimum((confidence_N * _BINS).astype(int), _BINS - 1)
    figure, axis = pyplot.subplots(figsize=(3.4, 3.2), layout="constrained")
    axis.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, linestyle="--")
    error = 0.0
    for index in range(_BINS):
        in_bin_N = bin_N == index
        if in_bin_N.any():
            share, confidence = right_N[in_bin_N].mean(), confidence_N[in_bin_N].mean()
            weight = in_bin_N.mean()
            error += weight * abs(share - confidence)
            axis.bar((index + 0.5) / _BINS, share, width=0.09, color="tab:blue", alpha=0.25 + 0.75 * weight)
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
    axis.set_xlabel("confidence", fontsize=8)
    axis.set_ylabel("share that is right", fontsize=8)
    axis.set_title(f"reliability (ECE {error:.3f})", fontsize=9)
    _style(axis)
    return _png(figure), float(error)


def draw_scatter(names: Sequence[str], predictions: Predictions) -> str:
    """Draw predicted over true values of each dimension."""
    figure, axes = pyplot.subplots(1, len(names), figsize=(3 * len(names), 3), squeeze=False, layout="constrained")
    for d, (axis, name) in enumerate(zip(axes[0], names, strict=True)):
        axis.plot(predictions.truth[:, d], predictions.scores_NJ[:, d], ".", markersize=3, alpha=0.5)
        ends = [min(predictions.truth[:, d].min(), predictions.scores_NJ[:, d].min()), predictions.truth[:, d].max()]
        axis.plot(ends, ends, color="0.6", linewidth=0.8, linestyle="--")
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("true", fontsize=8)
        axis.set_ylabel("predicted", fontsize=8)
        _style(axis)
    return _png(figure)


def draw_curves(losses: Sequence[Mapping[str, Any]], epochs: Sequence[EpochScores], metric: str) -> str:
    """Draw the loss by step, and the selecting metric by epoch on the validation and the test clips."""
    figure, (loss_axis, metric_axis) = pyplot.subplots(1, 2, figsize=(6.6, 2.6), layout="constrained")
    loss_axis.plot(
        [row["step"] + 1 for row in losses], [row["loss"] for row in losses], color="tab:blue", linewidth=0.9
    )
    loss_axis.set_title("loss", fontsize=9)
    loss_axis.set_xlabel("step", fontsize=8)
    drawn: tuple[tuple[SelectionProtocol, str, str], ...] = (
        ("validation", "validation clips", "tab:green"),
        ("test_best", "test clips", "tab:red"),
    )
    for protocol, label, colour in drawn:
        rows = [(row.epoch, score) for row in epochs if (score := row.score(protocol, metric)) is not None]
        if rows:
            numbers, values = zip(*rows, strict=True)
            metric_axis.plot(numbers, values, "o-", color=colour, markersize=3, label=label)
    metric_axis.set_title(f"{metric}, one view", fontsize=9)
    metric_axis.set_xlabel("epoch", fontsize=8)
    metric_axis.legend(fontsize=7)
    for axis in (loss_axis, metric_axis):
        _style(axis)
    return _png(figure)


def draw_tsne(features: Mapping[str, npt.NDArray[np.float32]], truth: Sequence[int], names: Sequence[str]) -> str:
    """Draw the t-SNE of the features of each modality, (N, F), coloured by class."""
    from sklearn.manifold import TSNE

    kinds = list(features)
    figure, axes = pyplot.subplots(1, len(kinds), figsize=(3.1 * len(kinds), 3.2), squeeze=False, layout="constrained")
    colours = pyplot.get_cmap("tab20" if len(names) > 10 else "tab10")
    for axis, kind in zip(axes[0], kinds, strict=True):
        values_NF = features[kind]
        perplexity = max(2.0, min(30.0, (len(values_NF) - 1) / 3))
        points_N2 = TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(values_NF)
        for number, name in enumerate(names):
            is_class_N = np.array(truth) == number
            if is_class_N.any():
                axis.plot(*points_N2[is_class_N].T, ".", color=colours(number % colours.N), markersize=5, label=name)
        axis.set_title(kind, fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
        _style(axis)
    axes[0][-1].legend(fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5))
    return _png(figure)


def _style(axis: Any) -> None:
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)


def _png(figure: Figure) -> str:
    data = io.BytesIO()
    figure.savefig(data, dpi=110, format="png", metadata={"Software": None})
    pyplot.close(figure)
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"
