"""Charts of a study's page as Vega-Lite specs: intervals, confusion, recalls, reliability, curves, and features.

All scores and shares are percent. The colours are custom properties of the page (see avf_shards.pages), so that a chart
follows a light or a dark background; legends stand below, and labels are few, for phones.

Shapes: N clips, C classes, F features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from avf_training.config.finetune import SelectionProtocol
from avf_training.evaluation.calibration import calibration_error, reliability_bins
from avf_training.evaluation.scoring import Predictions
from avf_training.finetuning.model_selection import EpochScores
from avf_training.trainer.smoothing import smooth_curve, thin

_MAX_COUNTED_CLASSES = 13  # above, the cells are too small for numbers
_MAX_POINTS = 1000  # of a scatter
_LEGEND = {"orient": "bottom", "title": None, "columns": 2, "symbolLimit": 40}
_PERCENT = {"domain": [0, 100]}
Spec = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart of the page."""

    title: str  # above the chart
    label: str  # what the chart shows, for people who cannot see it
    spec: Spec  # of Vega-Lite
    height: int = 220  # of the place that is held free, in pixels


def scores_chart(metric: str, rows: Sequence[Mapping[str, Any]]) -> Chart:
    """Chart a metric of each row of the study with its interval.

    Args:
        rows: values of `row`, `value`, `low` and `high` in percent; the last two are None without an interval.
    """
    y = {"field": "row", "type": "nominal", "sort": None, "axis": {"title": None, "labelLimit": 150}}
    x = {
        "field": "value",
        "type": "quantitative",
        "scale": {"zero": False, "nice": True},
        "title": f"{metric}, percent",
    }
    x["axis"] = {"tickCount": 5}
    interval = {"x": x | {"field": "low"}, "x2": {"field": "high"}}
    layers = [
        {
            "transform": [{"filter": "isValid(datum.low)"}],
            "mark": {"type": "rule", "strokeWidth": 3, "color": "var(--series-1)"},
            "encoding": interval,
        },
        {
            "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1, "color": "var(--series-1)"},
            "encoding": {"x": x, "tooltip": _tooltip("row", "value", "low", "high")},
        },
    ]
    spec = {"data": {"values": list(rows)}, "height": {"step": 28}, "encoding": {"y": y}, "layer": layers}
    said = ", ".join(f"{row['row']} {row['value']:.1f}" for row in rows)
    return Chart(title=metric, label=f"{metric} of each row in percent: {said}", spec=spec, height=28 * len(rows) + 50)


def curve_chart(metric: str, setting: str, row: str, points: Sequence[Mapping[str, Any]]) -> Chart:
    """Chart a metric by the value of the setting that a sweep of a row varies, with intervals.

    Args:
        points: values of `setting` (a number), `value`, `low` and `high` in percent; the last two may be None.
    """
    numbers = [point["setting"] for point in points]
    # Values over a wide range are doublings or powers of ten, as of shares of data and of learning rates.
    log = min(numbers) > 0 and max(numbers) / min(numbers) >= 8
    scale = {"type": "log", "base": 2} if log else {"zero": False}
    x = {"field": "setting", "type": "quantitative", "title": setting, "scale": scale, "axis": {"tickCount": 5}}
    y = {"field": "value", "type": "quantitative", "title": f"{metric}, percent", "scale": {"zero": False}}
    layers = [
        {
            "transform": [{"filter": "isValid(datum.low)"}],
            "mark": {"type": "rule", "strokeWidth": 3, "color": "var(--series-1)"},
            "encoding": {"y": y | {"field": "low"}, "y2": {"field": "high"}},
        },
        {
            "mark": {"type": "line", "point": True, "color": "var(--series-1)"},
            "encoding": {"y": y, "tooltip": _tooltip("setting", "value", "low", "high")},
        },
    ]
    spec = {"data": {"values": list(points)}, "height": 220, "encoding": {"x": x}, "layer": layers}
    said = ", ".join(f"{point['setting']:g}: {point['value']:.1f}" for point in points)
    return Chart(
        title=f"{row}: {metric} by {setting}",
        label=f"{metric} of {row} in percent by {setting}: {said}",
        spec=spec,
        height=290,
    )


def confusion_chart(title: str, names: Sequence[str], counts_CC: npt.NDArray[np.int64]) -> Chart:
    """Chart the share of each true class that is predicted as each class, with counts where there is room."""
    support_C1 = counts_CC.sum(1, keepdims=True)
    shares_CC = np.divide(100 * counts_CC, support_C1, out=np.zeros(counts_CC.shape), where=support_C1 > 0)
    values = [
        {
            "true": true,
            "predicted": predicted,
            "clips": int(counts_CC[t, p]),
            "percent": round(float(shares_CC[t, p]), 1),
        }
        for t, true in enumerate(names)
        for p, predicted in enumerate(names)
    ]
    cells = {
        "mark": {"type": "rect", "stroke": "var(--line)", "fill": "var(--series-1)"},
        "encoding": {
            "fillOpacity": {
                "field": "percent",
                "type": "quantitative",
                "scale": {**_PERCENT, "range": [0, 0.85]},
                "legend": None,
            },
            "tooltip": _tooltip("true", "predicted", "clips", "percent"),
        },
    }
    numbers = {
        "transform": [{"filter": "datum.clips > 0"}],
        "mark": {"type": "text", "fontSize": 11},
        "encoding": {
            "text": {"field": "clips"},
            "color": {"condition": {"test": "datum.percent > 55", "value": "var(--paper)"}, "value": "var(--ink)"},
        },
    }
    axis = {"labelLimit": 110, "labelOverlap": False, "labelFontSize": 11 if len(names) <= _MAX_COUNTED_CLASSES else 8}
    step = 26 if len(names) <= _MAX_COUNTED_CLASSES else 12
    spec = {
        "data": {"values": values},
        "height": {"step": step},
        "encoding": {
            "x": {"field": "predicted", "type": "nominal", "sort": None, "axis": {**axis, "labelAngle": -60}},
            "y": {"field": "true", "type": "nominal", "sort": None, "axis": axis},
        },
        "layer": [cells, numbers] if len(names) <= _MAX_COUNTED_CLASSES else [cells],
    }
    right, total = int(np.trace(counts_CC)), int(counts_CC.sum())
    label = f"confusion matrix, {title}: {right} of {total} clips are right; darker cells hold more of a true class"
    return Chart(title=f"confusion, {title} (clips)", label=label, spec=spec, height=step * len(names) + 110)


def recalls_chart(names: Sequence[str], counts_CC: npt.NDArray[np.int64]) -> Chart:
    """Chart the recall of each class; a class without clips has none."""
    support_C = counts_CC.sum(1)
    values = [
        {"class": f"{name} ({count})", "recall": round(100 * float(counts_CC[c, c] / count), 1), "clips": int(count)}
        for c, (name, count) in enumerate(zip(names, support_C, strict=True))
        if count
    ]
    spec = {
        "data": {"values": values},
        "height": {"step": 22},
        "mark": {"type": "bar", "color": "var(--series-1)", "height": {"band": 0.7}},
        "encoding": {
            "y": {"field": "class", "type": "nominal", "sort": None, "axis": {"title": None, "labelLimit": 150}},
            "x": {
                "field": "recall",
                "type": "quantitative",
                "scale": _PERCENT,
                "title": "percent",
                "axis": {"tickCount": 4},
            },
            "tooltip": _tooltip("class", "recall", "clips"),
        },
    }
    said = ", ".join(f"{row['class']} {row['recall']:.0f}" for row in values)
    return Chart(
        title="recall of each class (clips)",
        label=f"recall in percent: {said}",
        spec=spec,
        height=22 * len(values) + 50,
    )


def reliability_chart(predictions: Predictions) -> Chart:
    """Chart how often predictions of some confidence are right, with the calibration error (ECE)."""
    bins = reliability_bins(predictions)
    error = calibration_error(bins)
    values = [
        {"confidence": round(100 * each.confidence, 1), "right": round(100 * each.right, 1), "clips": each.clips}
        for each in bins
    ]
    x = {"field": "confidence", "type": "quantitative", "scale": _PERCENT, "title": "confidence, percent"}
    x["axis"] = {"tickCount": 4}
    y = {
        "field": "right",
        "type": "quantitative",
        "scale": _PERCENT,
        "title": "right, percent",
        "axis": {"tickCount": 4},
    }
    diagonal = {
        "data": {"values": [{"confidence": 0, "right": 0}, {"confidence": 100, "right": 100}]},
        "mark": {"type": "line", "color": "var(--soft)", "strokeDash": [4, 4], "strokeWidth": 1},
    }
    points = {
        "data": {"values": values},
        "mark": {"type": "point", "filled": True, "color": "var(--series-1)", "opacity": 0.85},
        "encoding": {
            "size": {"field": "clips", "type": "quantitative", "scale": {"range": [40, 400]}, "legend": None},
            "tooltip": _tooltip("confidence", "right", "clips"),
        },
    }
    spec = {"height": 220, "encoding": {"x": x, "y": y}, "layer": [diagonal, points]}
    said = f"calibration error (ECE) {100 * error:.1f} percent"
    label = f"share of predictions that are right by their confidence; on the dashed line they agree; {said}"
    return Chart(title=f"reliability: {said.replace(' percent', ' %')}", label=label, spec=spec, height=270)


def scatter_chart(name: str, truth_N: npt.NDArray[np.float64], predicted_N: npt.NDArray[np.float64]) -> Chart:
    """Chart predicted over true values of one dimension; of many clips, every n-th."""
    step = max(1, len(truth_N) // _MAX_POINTS)
    values = [
        {"true": round(float(true), 4), "predicted": round(float(value), 4)}
        for true, value in zip(truth_N[::step], predicted_N[::step], strict=True)
    ]
    ends = [float(min(truth_N.min(), predicted_N.min())), float(max(truth_N.max(), predicted_N.max()))]
    scale = {"domain": ends, "nice": True}
    spec = {
        "height": 240,
        "encoding": {
            "x": {"field": "true", "type": "quantitative", "scale": scale, "axis": {"tickCount": 4}},
            "y": {"field": "predicted", "type": "quantitative", "scale": scale, "axis": {"tickCount": 4}},
        },
        "layer": [
            {
                "data": {"values": [{"true": end, "predicted": end} for end in ends]},
                "mark": {"type": "line", "color": "var(--soft)", "strokeDash": [4, 4], "strokeWidth": 1},
            },
            {
                "data": {"values": values},
                "mark": {"type": "point", "filled": True, "size": 18, "opacity": 0.6, "color": "var(--series-1)"},
                "encoding": {"tooltip": _tooltip("true", "predicted")},
            },
        ],
    }
    return Chart(
        title=f"{name}: predicted over true", label=f"predicted over true {name} of {len(values)} clips", spec=spec,
        height=290,
    )  # fmt: skip


def loss_chart(losses: Sequence[Mapping[str, Any]]) -> Chart | None:
    """Chart the loss by step: smoothed, over the raw values; None where no step has a finite loss."""
    rows = [(int(row["step"]) + 1, float(row["loss"])) for row in losses if row["loss"] is not None]
    if not rows:
        return None
    raw = [{"step": rows[index][0], "loss": round(rows[index][1], 5)} for index in thin(len(rows))]
    smoothed = [
        {"step": rows[index][0], "loss": round(value, 5)}
        for index, value in zip(*smooth_curve([loss for _, loss in rows]), strict=True)
    ]
    encoding = {
        "x": {"field": "step", "type": "quantitative", "axis": {"tickCount": 4, "format": "d"}},
        "y": {"field": "loss", "type": "quantitative", "scale": {"zero": False}, "axis": {"tickCount": 4}},
        "tooltip": _tooltip("step", "loss"),
    }
    spec = {
        "height": 200,
        "encoding": encoding,
        "layer": [
            {
                "data": {"values": raw},
                "mark": {"type": "line", "color": "var(--soft)", "opacity": 0.4, "strokeWidth": 1},
            },
            {"data": {"values": smoothed}, "mark": {"type": "line", "color": "var(--series-1)", "strokeWidth": 2.5}},
        ],
    }
    ends = f": from {rows[0][1]:.3g} to {rows[-1][1]:.3g}"
    return Chart(title="loss (smoothed; raw behind)", label=f"training loss by step{ends}", spec=spec, height=250)


def epochs_chart(epochs: Sequence[EpochScores], metric: str) -> Chart | None:
    """Chart the selecting metric by epoch on the validation and on the test clips; None where no epoch has a score."""
    drawn: tuple[tuple[SelectionProtocol, str], ...] = (
        ("validation", "validation clips"),
        ("test_best", "test clips"),
    )
    values = [
        {"epoch": row.epoch, "percent": round(100 * score, 2), "clips": label}
        for protocol, label in drawn
        for row in epochs
        if (score := row.score(protocol, metric)) is not None
    ]
    if not values:
        return None
    spec = {
        "data": {"values": values},
        "height": 200,
        "mark": {"type": "line", "point": True},
        "encoding": {
            "x": {"field": "epoch", "type": "quantitative", "axis": {"tickCount": 4}, "scale": {"zero": False}},
            "y": {
                "field": "percent",
                "type": "quantitative",
                "title": f"{metric}, percent",
                "scale": {"zero": False},
                "axis": {"tickCount": 4},
            },
            "color": {"field": "clips", "type": "nominal", "sort": None, "legend": _LEGEND},
            "tooltip": _tooltip("epoch", "percent", "clips"),
        },
    }
    return Chart(
        title=f"{metric} by epoch, one view", label=f"{metric} in percent after each epoch", spec=spec, height=280
    )


def tsne_chart(kind: str, values_NF: npt.NDArray[np.float32], truth: Sequence[int], names: Sequence[str]) -> Chart:
    """Chart the t-SNE of one kind of features, coloured by class; shapes tell classes apart beyond six colours."""
    from sklearn.manifold import TSNE

    perplexity = max(2.0, min(30.0, (len(values_NF) - 1) / 3))
    points_N2 = TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(values_NF)
    values = [
        {"x": round(float(x), 3), "y": round(float(y), 3), "class": names[number]}
        for (x, y), number in zip(points_N2, truth, strict=True)
    ]
    axis = {"axis": {"labels": False, "ticks": False, "grid": False, "title": None}, "scale": {"zero": False}}
    # A domain instead of a sort order: only then are the legends of colour and shape drawn as a single one.
    by_class = {"field": "class", "type": "nominal", "scale": {"domain": list(names)}, "legend": _LEGEND}
    spec = {
        "data": {"values": values},
        "height": 260,
        "mark": {"type": "point", "filled": True, "size": 45, "opacity": 0.8},
        "encoding": {
            "x": {"field": "x", "type": "quantitative", **axis},
            "y": {"field": "y", "type": "quantitative", **axis},
            "color": by_class,
            "shape": by_class,
            "tooltip": _tooltip("class"),
        },
    }
    label = (
        f"features of {len(values)} test clips in the plane ({kind}); clips of one class lie together where told apart"
    )
    return Chart(title=f"features in the plane: {kind}", label=label, spec=spec, height=330)


def _tooltip(*names: str) -> list[Spec]:
    return [{"field": name} for name in names]
