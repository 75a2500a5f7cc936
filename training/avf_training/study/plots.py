"""Pictures of a study's page: confusion, recalls, curves, reliability, features in the plane.

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
from avf_training.finetuning.model_selection import SelectionProtocol, ValidationScores
from avf_training.trainer.figures import load_pyplot

pyplot = load_pyplot()

_BINS = 10


def confusion(title: str, names: Sequence[str], counts_CC: npt.NDArray[np.int64]) -> str:
    """Shares of each true class, with counts where there is room."""
    classes = len(names)
    side = min(7.0, 1.6 + 0.42 * classes)
    figure, axis = pyplot.subplots(figsize=(side, side), layout="constrained")
    support_C1 = counts_CC.sum(1, keepdims=True)
    shares_CC = np.divide(counts_CC, support_C1, out=np.zeros(counts_CC.shape), where=support_C1 > 0)
    axis.imshow(shares_CC, cmap="Blues", vmin=0, vmax=1)
    if classes <= 13:
        for true in range(classes):
            for told in range(classes):
                if counts_CC[true, told]:
                    ink = "white" if shares_CC[true, told] > 0.55 else "black"
                    text = f"{counts_CC[true, told]}"
                    axis.text(told, true, text, ha="center", va="center", fontsize=8, color=ink)
    size = 8 if classes <= 13 else 4
    axis.set_xticks(range(classes), names, rotation=60, ha="right", rotation_mode="anchor", fontsize=size)
    axis.set_yticks(range(classes), names, fontsize=size)
    axis.set_xlabel("said", fontsize=8)
    axis.set_ylabel("true", fontsize=8)
    axis.set_title(title, fontsize=9)
    return _png(figure)


def recalls(names: Sequence[str], counts_CC: npt.NDArray[np.int64]) -> str:
    """A bar for each class; a class without clips has none."""
    figure, axis = pyplot.subplots(figsize=(4.2, 0.9 + 0.22 * len(names)), layout="constrained")
    support_C = counts_CC.sum(1)
    values = [counts_CC[c, c] / support_C[c] if support_C[c] else 0.0 for c in range(len(names))]
    axis.barh(range(len(names)), values, color="tab:blue", height=0.65)
    told = [f"{name} ({count})" for name, count in zip(names, support_C, strict=True)]
    axis.set_yticks(range(len(names)), told, fontsize=8)
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    axis.set_title("recall of each class (clips)", fontsize=9)
    _plain(axis)
    return _png(figure)


def reliability(answers: Predictions) -> tuple[str, float]:
    """How often answers of some confidence are right, and the expected calibration error."""
    confidence_N = answers.scores_NJ.max(1)
    right_N = answers.scores_NJ.argmax(1) == answers.truth
    bin_N = np.minimum((confidence_N * _BINS).astype(int), _BINS - 1)
    figure, axis = pyplot.subplots(figsize=(3.4, 3.2), layout="constrained")
    axis.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, linestyle="--")
    error = 0.0
    for one in range(_BINS):
        here = bin_N == one
        if here.any():
            share, sure, weight = right_N[here].mean(), confidence_N[here].mean(), here.mean()
            error += weight * abs(share - sure)
            axis.bar((one + 0.5) / _BINS, share, width=0.09, color="tab:blue", alpha=0.25 + 0.75 * weight)
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
    axis.set_xlabel("confidence", fontsize=8)
    axis.set_ylabel("share that is right", fontsize=8)
    axis.set_title(f"reliability (ECE {error:.3f})", fontsize=9)
    _plain(axis)
    return _png(figure), float(error)


def scatter(names: Sequence[str], answers: Predictions) -> str:
    """Dimensions: what was said over what is true."""
    figure, axes = pyplot.subplots(1, len(names), figsize=(3 * len(names), 3), squeeze=False, layout="constrained")
    for d, (axis, name) in enumerate(zip(axes[0], names, strict=True)):
        axis.plot(answers.truth[:, d], answers.scores_NJ[:, d], ".", markersize=3, alpha=0.5)
        ends = [min(answers.truth[:, d].min(), answers.scores_NJ[:, d].min()), answers.truth[:, d].max()]
        axis.plot(ends, ends, color="0.6", linewidth=0.8, linestyle="--")
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("true", fontsize=8)
        axis.set_ylabel("said", fontsize=8)
        _plain(axis)
    return _png(figure)


def curves(losses: Sequence[Mapping[str, Any]], epochs: Sequence[ValidationScores], metric: str) -> str:
    """The loss by step, and the metric that chooses by epoch, on what was held out and on the test clips."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(6.6, 2.6), layout="constrained")
    left.plot([row["step"] + 1 for row in losses], [row["loss"] for row in losses], color="tab:blue", linewidth=0.9)
    left.set_title("loss", fontsize=9)
    left.set_xlabel("step", fontsize=8)
    drawn: tuple[tuple[SelectionProtocol, str, str], ...] = (
        ("validation", "validation clips", "tab:green"),
        ("test_best", "test clips", "tab:red"),
    )
    for protocol, label, colour in drawn:
        rows = [(row.epoch, score) for row in epochs if (score := row.score(protocol, metric)) is not None]
        if rows:
            numbers, values = zip(*rows, strict=True)
            right.plot(numbers, values, "o-", color=colour, markersize=3, label=label)
    right.set_title(f"{metric}, one view", fontsize=9)
    right.set_xlabel("epoch", fontsize=8)
    right.legend(fontsize=7)
    for axis in (left, right):
        _plain(axis)
    return _png(figure)


def tsne_plane(features: Mapping[str, npt.NDArray[np.float32]], truth: Sequence[int], names: Sequence[str]) -> str:
    """t-SNE of each modality's features, (N, F), coloured by class."""
    from sklearn.manifold import TSNE

    kinds = list(features)
    figure, axes = pyplot.subplots(1, len(kinds), figsize=(3.1 * len(kinds), 3.2), squeeze=False, layout="constrained")
    colours = pyplot.get_cmap("tab20" if len(names) > 10 else "tab10")
    for axis, kind in zip(axes[0], kinds, strict=True):
        values_NF = features[kind]
        perplexity = max(2.0, min(30.0, (len(values_NF) - 1) / 3))
        at_N2 = TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(values_NF)
        for number, name in enumerate(names):
            here = np.array(truth) == number
            if here.any():
                axis.plot(*at_N2[here].T, ".", color=colours(number % colours.N), markersize=5, label=name)
        axis.set_title(kind, fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
        _plain(axis)
    axes[0][-1].legend(fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5))
    return _png(figure)


def _plain(axis: Any) -> None:
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)


def _png(figure: Figure) -> str:
    """As a data address, so that the page is one file."""
    data = io.BytesIO()
    figure.savefig(data, dpi=110, format="png", metadata={"Software": None})
    pyplot.close(figure)
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"
