"""Charts of a video over time, with the truth and what each model says, as Vega-Lite specs in colours of the page.

A chart has at most so many bins of time, so that a page of many videos stays small. N frames, B bins.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from avf_training.evaluation.metrics import Floats
from avf_training.framewise.labels.tasks import FrameLabelTask
from avf_training.framewise.predictions.likelihoods import to_answers
from avf_training.framewise.predictions.truth_join import JoinedVideo

MOST_BINS = 240
TRUTH = "truth"
_COLOURS = ("var(--ink)", *(f"var(--series-{number})" for number in range(1, 7)))
_DASHES = ([1, 0], [6, 3], [2, 2])


@dataclass(frozen=True, kw_only=True)
class FrameChart:
    """A chart of the page."""

    title: str  # above the chart
    label: str  # what the chart shows, for people who cannot see it
    spec: Mapping[str, Any]  # of Vega-Lite
    height: int  # that is held free, in pixels


def chart_video(task: FrameLabelTask, models: Mapping[str, JoinedVideo]) -> list[FrameChart]:
    """Return the charts of a video: a curve of valence and one of arousal, or the stretches of each class or unit.

    Args:
        models: the same video by the name of each model, the first one drawn strongest.
    """
    first = next(iter(models.values()))
    bins_N, times_s_B = _bins(first.labels.times_s_N)
    if task.name == "va":
        return [_chart_curve(name, column, models, bins_N, times_s_B) for column, name in enumerate(task.classes)]
    return [_chart_stretches(task, models, bins_N, times_s_B)]


def _bins(times_s_N: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return the bin of each frame, and the time of each bin: that of its first frame."""
    count = min(MOST_BINS, len(times_s_N))
    bins_N = np.arange(len(times_s_N)) * count // len(times_s_N)
    return bins_N, times_s_N[np.searchsorted(bins_N, np.arange(count))]


def _mean_of_bins(values_N: Floats, bins_N: npt.NDArray[np.int64]) -> list[float | None]:
    """Return the mean of the numbers of each bin; None where there is none."""
    known_N = np.isfinite(values_N)
    counts_B = np.bincount(bins_N, weights=known_N, minlength=bins_N[-1] + 1)
    sums_B = np.bincount(bins_N, weights=np.where(known_N, values_N, 0), minlength=bins_N[-1] + 1)
    return [round(float(total / count), 3) if count else None for total, count in zip(sums_B, counts_B, strict=True)]


def _chart_curve(
    name: str, column: int, models: Mapping[str, JoinedVideo], bins_N: npt.NDArray[np.int64], times_s_B: Floats
) -> FrameChart:
    labels = next(iter(models.values())).labels
    truth_N = np.where(labels.is_valid, labels.values_NK[:, column], np.nan).astype(np.float64)
    series = [_mean_of_bins(truth_N, bins_N)]
    series += [_mean_of_bins(video.likelihoods_ND[:, column], bins_N) for video in models.values()]
    rows: list[dict[str, float | None]] = [
        {"t": round(float(time), 2), **{f"s{number}": values[row] for number, values in enumerate(series)}}
        for row, time in enumerate(times_s_B)
    ]
    names = [TRUTH, *models]
    spec = {
        "data": {"values": rows},
        "height": 150,
        "transform": [
            {"fold": [f"s{number}" for number in range(len(series))], "as": ["series", "value"]},
            {"calculate": _name_expression(names), "as": "who"},
        ],
        "mark": {"type": "line", "interpolate": "linear", "clip": True},
        "encoding": {
            "x": {"field": "t", "type": "quantitative", "title": "seconds", "axis": {"tickCount": 6}},
            "y": {
                "field": "value",
                "type": "quantitative",
                "title": name,
                "scale": {"domain": [-1, 1]},
                "axis": {"tickCount": 5},
            },
            **_who_channels(names),
            "size": {
                "condition": {"test": f"datum.who === {json.dumps(names[1])}", "value": 2.5},
                "value": 1.3,
            },
            "strokeDash": {
                "field": "who",
                "type": "nominal",
                "scale": {"domain": names, "range": _dashes(names)},
                "legend": None,
            },
            "tooltip": [{"field": "who"}, {"field": "t", "title": "seconds"}, {"field": "value"}],
        },
    }  # fmt: skip
    label = f"{name} over time: the truth and {', '.join(models)}"
    return FrameChart(title=name, label=label, spec=spec, height=230 + 20 * (len(names) // 2))


def _chart_stretches(
    task: FrameLabelTask, models: Mapping[str, JoinedVideo], bins_N: npt.NDArray[np.int64], times_s_B: Floats
) -> FrameChart:
    first = next(iter(models.values()))
    labels = first.labels
    end_s = float(labels.times_s_N[-1] + 1 / labels.fps)
    edges_s = [*map(float, times_s_B), end_s]
    truth_NC = _states(task, labels.values_NK.astype(np.float64))
    truth_NC[~labels.is_valid] = np.nan
    states = {TRUTH: truth_NC}
    for name, video in models.items():
        said_NC = _states(task, to_answers(task, video.likelihoods_ND))
        said_NC[~np.isfinite(video.likelihoods_ND).all(1)] = np.nan
        states[name] = said_NC
    rows = []
    for who, states_NC in states.items():
        for number, output in enumerate(task.classes):
            on_B = [value is not None and value > 0.5 for value in _mean_of_bins(states_NC[:, number], bins_N)]
            rows += [
                {"who": who, "output": output, "start": round(edges_s[start], 2), "end": round(edges_s[stop], 2)}
                for start, stop in _runs(on_B)
            ]
    names = list(states)
    spec = {
        "data": {"values": rows},
        "height": {"step": max(4, 24 // len(names)), "for": "offset"},
        "mark": {"type": "bar"},
        "encoding": {
            "y": {
                "field": "output",
                "type": "nominal",
                "scale": {"domain": list(task.classes), "paddingInner": 0.25},
                "axis": {"title": None, "grid": True},
            },
            "yOffset": {"field": "who", "type": "nominal", "scale": {"domain": names}},
            "x": {
                "field": "start",
                "type": "quantitative",
                "title": "seconds",
                "scale": {"domain": [edges_s[0], end_s], "nice": False},
                "axis": {"tickCount": 6},
            },
            "x2": {"field": "end"},
            **_who_channels(names),
            "tooltip": [{"field": "who"}, {"field": "output"}, {"field": "start"}, {"field": "end"}],
        },
    }
    label = f"stretches of time of each of {', '.join(task.classes)}: the truth and {', '.join(models)}"
    height = len(task.classes) * (max(4, 24 // len(names)) * len(names) + 6) + 90
    return FrameChart(title="over time", label=label, spec=spec, height=height)


def _states(task: FrameLabelTask, values_NK: Floats) -> Floats:
    """Return 1 where a class is the one, or a unit is on, (N, C)."""
    if task.name == "au":
        return values_NK.copy()
    states_NC = (values_NK == np.arange(task.outputs)).astype(np.float64)
    states_NC[np.isnan(values_NK[:, 0])] = np.nan
    return np.asarray(states_NC)


def _runs(on_B: Sequence[bool]) -> list[tuple[int, int]]:
    """Return start and end of each stretch of bins that are on."""
    edges = np.diff(np.concatenate([[0], np.asarray(on_B, np.int64), [0]]))
    return list(zip(np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist(), strict=True))


def _who_channels(names: Sequence[str]) -> dict[str, Any]:
    colours = [_COLOURS[0], *(_COLOURS[1 + number % 6] for number in range(len(names) - 1))]
    legend = {"orient": "bottom", "title": None, "columns": 2, "symbolLimit": 40, "labelLimit": 150}
    scale = {"domain": list(names), "range": colours}
    return {"color": {"field": "who", "type": "nominal", "scale": scale, "legend": legend}}


def _dashes(names: Sequence[str]) -> list[list[int]]:
    """Return a dash for each name; beyond six models, where colours come a second time, dashes tell them apart."""
    return [_DASHES[0], *(_DASHES[number // 6 % len(_DASHES)] for number in range(len(names) - 1))]


def _name_expression(names: Sequence[str]) -> str:
    """Return the Vega expression that turns a series into its name."""
    return f"{json.dumps({f's{number}': name for number, name in enumerate(names)})}[datum.series]"
