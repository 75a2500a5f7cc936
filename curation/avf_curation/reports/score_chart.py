"""The Vega-Lite chart of a histogram of scores: kept spans upwards, rejected spans downwards, thresholds as lines."""

from typing import Any

import numpy as np

from avf_curation.reports.score_histograms import ScoreAxis, ScoreHistogram

_HEIGHT_PX = 150
_SERIES = {"kept": "var(--kept)", "rejected": "var(--rejected)"}


def make_score_chart(histogram: ScoreHistogram) -> dict[str, Any]:
    """Return the spec. Bars are percent of the kept spans and percent of the rejected ones, so both shapes show.

    The data are the counts of each bin; all else is calculated in the browser, for a page with hundreds of charts.
    """
    edges = histogram.axis.edges
    rows = [
        {"i": index, "kept": int(kept), "rejected": int(rejected)}
        for index, (kept, rejected) in enumerate(zip(histogram.kept, histogram.rejected, strict=True))
        if kept or rejected
    ]
    ends = [_round(edge) for edge in edges]
    shown = [ends[0], ends[-1]]
    if histogram.above:
        rejected_above = histogram.above - histogram.kept_above
        rows.append({"i": len(edges) - 1, "kept": histogram.kept_above, "rejected": rejected_above})
        ends.append(_round(_overflow_end(histogram.axis)))
        shown[1] = ends[-1]
    scale: dict[str, Any] = {"domain": shown, "nice": False}
    axis: dict[str, Any] = {"grid": False, "title": None, "tickCount": 5, "format": ".3~r"}
    if histogram.axis.symlog is not None:
        scale |= {"type": "symlog", "constant": histogram.axis.symlog}
        axis |= {"values": _powers(histogram.axis), "format": "~s"}
    x = {"type": "quantitative", "scale": scale, "axis": axis}
    bars = {"data": {"values": rows}, "transform": _transforms(histogram, ends)} | _bars(x)
    params = [{"name": "ends", "value": ends}]
    return {"height": _HEIGHT_PX, "params": params, "layer": [bars, *_rules(histogram, shown)]}


def _transforms(histogram: ScoreHistogram, ends: list[float]) -> list[dict[str, Any]]:
    """Return what the browser calculates from the counts: a row of each bin and series, its place and its words."""
    totals = f"{{kept: {max(1, histogram.kept_spans)}, rejected: {max(1, histogram.rejected_spans)}}}"
    above = f"'above {ends[-2]:.4g}, up to {histogram.highest:.4g}'" if histogram.above else "''"
    last = len(ends) - 2 if histogram.above else len(ends)
    return [
        {"fold": list(_SERIES), "as": ["s", "n"]},
        {"filter": "datum.n > 0"},
        {"calculate": "ends[datum.i]", "as": "a"},
        {"calculate": "ends[datum.i + 1]", "as": "b"},
        {"calculate": f"100 * datum.n / {totals}[datum.s]", "as": "p"},
        {"calculate": "datum.s == 'kept' ? datum.p : -datum.p", "as": "y"},
        {"calculate": f"datum.i == {last} ? {above} : datum.a + ' to ' + datum.b", "as": "t"},
    ]


def _bars(x: dict[str, Any]) -> dict[str, Any]:
    percent = {"title": None, "labelExpr": "abs(datum.value) + ' %'", "tickCount": 4}
    colours = {"domain": list(_SERIES), "range": list(_SERIES.values())}
    return {
        "mark": {"type": "rect", "stroke": "var(--paper)", "strokeWidth": 1},
        "encoding": {
            "x": {"field": "a", **x},
            "x2": {"field": "b"},
            "y": {"field": "y", "type": "quantitative", "axis": percent},
            "y2": {"datum": 0},
            "color": {"field": "s", "type": "nominal", "legend": None, "scale": colours},
            "tooltip": [
                {"field": "t", "type": "nominal", "title": "score"},
                {"field": "s", "type": "nominal", "title": "spans that are"},
                {"field": "n", "type": "quantitative", "title": "spans", "format": ","},
                {"field": "p", "type": "quantitative", "title": "percent of these", "format": ".1f"},
            ],
        },
    }


def _rules(histogram: ScoreHistogram, shown: list[float]) -> list[dict[str, Any]]:
    """Return the line and the label of each threshold; the label stands on the side that has more room."""
    layers: list[dict[str, Any]] = []
    for operator, limit in histogram.thresholds:
        data = {"values": [{"a": limit, "label": f"passes {operator} {limit:g}"}]}
        position: dict[str, Any] = {"x": {"field": "a", "type": "quantitative"}}  # the scale is that of the bars
        right = _position(limit, histogram.axis, shown) > 0.5
        text = {"align": "right" if right else "left", "dx": -4 if right else 4, "baseline": "top", "dy": 1}
        label: dict[str, Any] = {"field": "label", "type": "nominal"}
        layers += [
            {
                "data": data,
                "mark": {"type": "rule", "color": "var(--failed)", "strokeWidth": 2, "strokeDash": [5, 3]},
                "encoding": position,
            },
            {
                "data": data,
                "mark": {"type": "text", "color": "var(--failed)", "fontSize": 12, **text},
                "encoding": position | {"text": label, "y": {"value": 0}},
            },
        ]
    return layers


def _position(value: float, axis: ScoreAxis, shown: list[float]) -> float:
    """Return where a score lies between the ends of the axis, from 0 to 1."""
    low, high = shown
    if axis.symlog is not None:
        value, low, high = (float(np.log1p(each / axis.symlog)) for each in (value, low, high))
    return (value - low) / (high - low)


def _overflow_end(axis: ScoreAxis) -> float:
    """Return the right end of the bar for scores above the axis: about two bins wide."""
    edges = axis.edges
    if axis.symlog is None:
        return float(edges[-1] + 2 * (edges[-1] - edges[-2]))
    return float(edges[-1] * (edges[-1] / edges[-2]) ** 2)


def _powers(axis: ScoreAxis) -> list[float]:
    """Return 0 and the powers of ten on a logarithmic axis, each second or third where there are many."""
    constant = axis.symlog or 1.0
    first, last = int(np.floor(np.log10(constant))), int(np.floor(np.log10(axis.edges[-1])))
    step = max(1, (last - first + 1) // 4)
    return [0.0, *(10.0**power for power in range(first, last + 1, step))]


def _round(value: float) -> float:
    return float(f"{value:.6g}")
