"""The timeline of a person: windows that overlap become segments that do not, each with one label."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from avf_training.inference.person_prediction import PersonPrediction


@dataclass(frozen=True, kw_only=True)
class TimelineSegment:
    """A part of a video, [start_s, stop_s), with the scores that hold in all of it."""

    start_s: float  # of the video's own time
    stop_s: float  # of the video's own time
    scores: tuple[float, ...]  # mean probabilities of the classes, or mean values of the dimensions

    @property
    def best(self) -> int:
        """Index of the class with the highest mean probability."""
        return int(np.argmax(self.scores))


def score_segments(prediction: PersonPrediction) -> list[TimelineSegment]:
    """Return the timeline of one person cut at every start and end of a window, without merging.

    The scores at an instant are the mean over all windows that cover it. Instants that no window covers, because no
    shot shows the person then, are in no segment.
    """
    # To the millisecond: times of two clips that mean the same instant may differ in their last digits.
    starts_W, stops_W = (
        np.array([round(time_s, 3) for time_s in times_s])
        for times_s in zip(*((window.start_s, window.stop_s) for window in prediction.windows), strict=True)
    )
    bounds_s = sorted({*starts_W.tolist(), *stops_W.tolist()})
    scores_WJ = np.array([window.scores for window in prediction.windows])
    segments = []
    for start_s, stop_s in pairwise(bounds_s):
        covers_W = (starts_W <= start_s) & (stops_W >= stop_s)
        if covers_W.any():
            scores = tuple(float(score) for score in scores_WJ[covers_W].mean(0))
            segments.append(TimelineSegment(start_s=start_s, stop_s=stop_s, scores=scores))
    return segments


def label_segments(prediction: PersonPrediction) -> list[TimelineSegment]:
    """Return the timeline of a person as segments of one label each: neighbours with the same label are one segment.

    The label of an instant is the class with the highest mean probability over the windows that cover it (see
    `score_segments`). The scores of a merged segment are the means over its time.
    """
    groups: list[list[TimelineSegment]] = []
    for segment in score_segments(prediction):
        if groups and groups[-1][-1].stop_s == segment.start_s and groups[-1][-1].best == segment.best:
            groups[-1].append(segment)
        else:
            groups.append([segment])
    return [_merge(group) for group in groups]


def value_segments(prediction: PersonPrediction, dimension: int, digits: int) -> list[TimelineSegment]:
    """Return the timeline of one dimension: neighbours whose values agree to `digits` decimals are one segment.

    The value of an instant is the mean over the windows that cover it. The scores of a segment are this value alone.
    """
    groups: list[list[TimelineSegment]] = []
    for segment in score_segments(prediction):
        value = round(segment.scores[dimension], digits)
        rounded = TimelineSegment(start_s=segment.start_s, stop_s=segment.stop_s, scores=(value,))
        if groups and groups[-1][-1].stop_s == rounded.start_s and groups[-1][-1].scores == rounded.scores:
            groups[-1].append(rounded)
        else:
            groups.append([rounded])
    return [_merge(group) for group in groups]


def label_shares(prediction: PersonPrediction) -> dict[str, float]:
    """Return the share of a person's time that each label holds, the longest first; labels without time are left out.

    The person's time is what the windows cover, not the length of the video.
    """
    seconds: dict[str, float] = {}
    for segment in label_segments(prediction):
        name = prediction.names[segment.best]
        seconds[name] = seconds.get(name, 0.0) + segment.stop_s - segment.start_s
    total_s = sum(seconds.values())
    return {name: value / total_s for name, value in sorted(seconds.items(), key=lambda item: -item[1])}


def _merge(group: Sequence[TimelineSegment]) -> TimelineSegment:
    weights = [segment.stop_s - segment.start_s for segment in group]
    means = np.average([segment.scores for segment in group], axis=0, weights=weights)
    return TimelineSegment(start_s=group[0].start_s, stop_s=group[-1].stop_s, scores=tuple(map(float, means)))
