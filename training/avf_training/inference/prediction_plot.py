"""Figure of predictions over time: for each person a row of frames, and below the scores."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from avf_shards.system import durable_io

from avf_training.data.storage import StorageConfig
from avf_training.inference.clip_pictures import thumbnails
from avf_training.inference.predictions import PersonPrediction, WindowPrediction
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.trainer.figures import load_pyplot

MAX_PEOPLE = 12  # of one figure
_THUMBNAILS = 10


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
    figure = pyplot.figure(figsize=(9, 3.3 * count), layout="constrained")
    rows = figure.add_gridspec(2 * count, 1, height_ratios=[1, 2.2] * count)
    for n, prediction in enumerate(predictions):
        files = {key: clips.read(index_of[key]) for key in prediction.keys}
        _draw_frames(figure.add_subplot(rows[2 * n]), prediction, files)
        _draw_scores(figure.add_subplot(rows[2 * n + 1]), prediction, pyplot.get_cmap("tab20"))
    data = io.BytesIO()
    figure.savefig(data, dpi=110, format=out.suffix[1:].lower())
    pyplot.close(figure)
    durable_io.replace_file(out, data.getvalue())
    return count


def _clip_windows(prediction: PersonPrediction) -> list[list[WindowPrediction]]:
    """Return the windows of each clip of a timeline."""
    return [[window for window in prediction.windows if window.key == key] for key in prediction.keys]


def _draw_frames(axis: Any, prediction: PersonPrediction, files: Mapping[str, dict[str, bytes]]) -> None:
    start_s, stop_s = prediction.windows[0].start_s, prediction.windows[-1].stop_s
    for windows in _clip_windows(prediction):
        first_s, last_s = windows[0].start_s, windows[-1].stop_s
        count = max(1, round(_THUMBNAILS * (last_s - first_s) / (stop_s - start_s)))
        pictures = np.concatenate(thumbnails(files[windows[0].key], count), 1)
        axis.imshow(pictures, aspect="auto", extent=(first_s, last_s, 0, 1))
    axis.set_xlim(start_s, stop_s)
    axis.set_axis_off()
    best = f": {prediction.best}" if prediction.best else ""
    axis.set_title(f"{prediction.video_id}, person {prediction.person + 1}{best}", fontsize=9)


def _draw_scores(axis: Any, prediction: PersonPrediction, colours: Any) -> None:
    for number, windows in enumerate(_clip_windows(prediction)):  # a curve of each clip: nothing is known in between
        first_s, last_s = windows[0].start_s, windows[-1].stop_s
        centers_s = [(window.start_s + window.stop_s) / 2 for window in windows]
        scores = np.array([window.scores for window in windows])
        # Scores at the centre of the first and of the last window hold to the clip's ends.
        centers_s, scores = [first_s, *centers_s, last_s], np.concatenate([scores[:1], scores, scores[-1:]])
        names = [name if number == 0 else f"_{name}" for name in prediction.names]  # the legend names each class once
        if prediction.classes:
            axis.stackplot(centers_s, scores.T, labels=names, colors=list(map(colours, range(20))), alpha=0.85)
        else:
            for index, (name, values) in enumerate(zip(names, scores.T, strict=True)):
                axis.plot(centers_s, values, "o-", markersize=3, label=name, color=colours(index))
    if prediction.classes:
        axis.set_ylim(0, 1)
    axis.set_xlim(prediction.windows[0].start_s, prediction.windows[-1].stop_s)
    axis.set_xlabel("seconds of the video", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    axis.spines[["top", "right"]].set_visible(False)
