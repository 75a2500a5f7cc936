"""Figure of predictions over time: for each person a row of frames, and below the scores.

The scores at a time are the means over the windows that cover it, as in subtitles (see timeline.py).
"""

import io
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from avf_shards.system import durable_io

from avf_training.data.storage import StorageConfig
from avf_training.inference.clip_pictures import thumbnails
from avf_training.inference.person_prediction import PersonPrediction, WindowPrediction
from avf_training.inference.timeline import TimelineSegment, score_segments
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.trainer.figures import PALETTE, WIDTH_IN, load_pyplot, put_legend_below, save_figure, use_few_ticks

_RangeS = tuple[float, float]  # start and end, in seconds of the video

MAX_PEOPLE = 12  # of one figure
_THUMBNAILS = 6
_MAX_NAMED = len(PALETTE.series)  # classes with a colour of their own; the others are one area


def draw_predictions(shards: Path | str, predictions: Sequence[PersonPrediction], out: Path) -> int:
    """Draw at most MAX_PEOPLE timelines into a picture file and return how many were drawn.

    Args:
        shards: folder of the clips that were predicted.
    """
    pyplot = load_pyplot()
    predictions = predictions[:MAX_PEOPLE]
    clips = LabelledShards([shards], StorageConfig())
    index_of = {clip.key: clip.index for clip in clips.clips()}
    count = len(predictions)
    figure = pyplot.figure(figsize=(WIDTH_IN, 4.2 * count))
    rows = figure.add_gridspec(2 * count, 1, height_ratios=[1, 2.2] * count)
    ranges = _time_ranges(predictions)
    for n, prediction in enumerate(predictions):
        files = {key: clips.read(index_of[key]) for key in prediction.keys}
        range_s = ranges[prediction.source, prediction.video_id]
        _draw_frames(figure.add_subplot(rows[2 * n]), prediction, files, range_s)
        _draw_scores(figure.add_subplot(rows[2 * n + 1]), prediction, range_s)
    data = io.BytesIO()
    save_figure(figure, data, out.suffix)
    pyplot.close(figure)
    durable_io.replace_file(out, data.getvalue())
    return count


def _time_ranges(predictions: Sequence[PersonPrediction]) -> dict[tuple[str, str], _RangeS]:
    """Return the seconds that each video is drawn over, by source and id: all its people have one axis."""
    ranges: dict[tuple[str, str], _RangeS] = {}
    for prediction in predictions:
        first_s, last_s = prediction.windows[0].start_s, max(window.stop_s for window in prediction.windows)
        start_s, stop_s = ranges.get((prediction.source, prediction.video_id), (first_s, last_s))
        ranges[prediction.source, prediction.video_id] = min(start_s, first_s), max(stop_s, last_s)
    return ranges


def _clip_windows(prediction: PersonPrediction) -> list[list[WindowPrediction]]:
    """Return the windows of each clip of a timeline."""
    return [[window for window in prediction.windows if window.key == key] for key in prediction.keys]


def _draw_frames(
    axis: Any, prediction: PersonPrediction, files: Mapping[str, dict[str, bytes]], range_s: _RangeS
) -> None:
    start_s, stop_s = range_s
    for windows in _clip_windows(prediction):
        first_s, last_s = windows[0].start_s, windows[-1].stop_s
        count = max(1, round(_THUMBNAILS * (last_s - first_s) / (stop_s - start_s)))
        pictures = np.concatenate(thumbnails(files[windows[0].key], count), 1)
        axis.imshow(pictures, aspect="auto", extent=(first_s, last_s, 0, 1))
    axis.set_xlim(range_s)
    axis.set_axis_off()
    best = f": {prediction.best} on average" if prediction.best else ""
    if prediction.fake is not None:
        best = f": p(fake) {prediction.fake:.2f} ({prediction.pool.replace('_', ' ')})"
    axis.set_title(f"{_shorten(prediction.video_id)}, person {prediction.person + 1}{best}")


def _shorten(name: str, length: int = 28) -> str:
    """Return a name that fits the title: its start and its end."""
    return name if len(name) <= length else f"{name[: length // 2 - 1]}…{name[-length // 2 :]}"


def _draw_scores(axis: Any, prediction: PersonPrediction, range_s: _RangeS) -> None:
    segments = score_segments(prediction)
    if prediction.detects:
        _draw_fakes(axis, prediction, segments)
        _finish_axis(axis, range_s)
        return
    names, columns = _named_columns(prediction)
    colours = [
        PALETTE.unmeasured if len(column) > 1 else PALETTE.series[number % len(PALETTE.series)]
        for number, column in enumerate(columns)
    ]
    for number, stretch in enumerate(_stretches(segments)):  # nothing is known in between
        edges_s = [stretch[0].start_s, *(segment.stop_s for segment in stretch)]
        scores = np.array([[sum(s.scores[index] for index in column) for column in columns] for s in stretch])
        scores = np.concatenate([scores, scores[-1:]])  # a step holds until its end
        labels = [name if number == 0 else f"_{name}" for name in names]  # the legend names each class once
        if prediction.classes:
            axis.stackplot(edges_s, scores.T, labels=labels, colors=colours, step="post", linewidth=0)
        else:
            for label, values, colour in zip(labels, scores.T, colours, strict=True):
                axis.step(edges_s, values, where="post", linewidth=2, label=label, color=colour)
    if prediction.classes:
        axis.set_ylim(0, 1)
        axis.set_ylabel("probability")
    _finish_axis(axis, range_s)


def _finish_axis(axis: Any, range_s: _RangeS) -> None:
    axis.set_xlim(range_s)
    axis.set_xlabel("seconds of the video")
    use_few_ticks(axis)
    put_legend_below(axis, 3)


def _draw_fakes(axis: Any, prediction: PersonPrediction, segments: Sequence[TimelineSegment]) -> None:
    """Draw the probability of a fake as a line, over the stretches that are forged in truth, where they are known."""
    for number, (start_s, stop_s) in enumerate(prediction.forged_s or ()):
        label = "forged in truth" if number == 0 else "_forged"
        axis.axvspan(start_s, stop_s, color=PALETTE.unmeasured, alpha=0.5, linewidth=0, label=label)
    for number, stretch in enumerate(_stretches(segments)):
        edges_s = [stretch[0].start_s, *(segment.stop_s for segment in stretch)]
        fakes = [segment.scores[1] for segment in stretch]
        label = "p(fake)" if number == 0 else "_p(fake)"
        axis.step(edges_s, [*fakes, fakes[-1]], where="post", linewidth=2, label=label, color=PALETTE.series[0])
    axis.axhline(0.5, linewidth=1, linestyle=":", color=PALETTE.unmeasured, zorder=0)
    axis.set_ylim(0, 1)
    axis.set_ylabel("p(fake)")


def _named_columns(prediction: PersonPrediction) -> tuple[list[str], list[list[int]]]:
    """Return the names that the legend shows, and the outputs that each adds up: rare classes are one name."""
    order = range(len(prediction.names))
    if not prediction.classes or len(prediction.names) <= _MAX_NAMED:
        return list(prediction.names), [[index] for index in order]
    ranked = sorted(order, key=lambda index: -prediction.mean[index])
    named, others = sorted(ranked[: _MAX_NAMED - 1]), sorted(ranked[_MAX_NAMED - 1 :])
    return [*(prediction.names[index] for index in named), f"{len(others)} others"], [*([i] for i in named), others]


def _stretches(segments: Sequence[TimelineSegment]) -> list[list[TimelineSegment]]:
    """Return the segments cut where time is missing between two of them."""
    stretches = [[segments[0]]]
    for before, segment in pairwise(segments):
        if segment.start_s > before.stop_s:
            stretches.append([])
        stretches[-1].append(segment)
    return stretches
