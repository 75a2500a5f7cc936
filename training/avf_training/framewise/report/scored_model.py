"""The predictions of one model joined with labels, and its scores."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from avf_training.evaluation.metrics import Floats
from avf_training.framewise.labels.label_track import LabelTrack
from avf_training.framewise.labels.tasks import FrameLabelTask
from avf_training.framewise.predictions.frame_statistics import (
    ScoredOutput,
    count_frames,
    count_valid,
    merge_statistics,
    score_with_intervals,
)
from avf_training.framewise.predictions.prediction_set import PredictionSet
from avf_training.framewise.predictions.truth_join import BehindLast, JoinedVideo, join_video
from avf_training.framewise.tracks.identity import TrackSubject


@dataclass(frozen=True, kw_only=True)
class ScoredModel:
    """A model on the videos that it is scored on."""

    name: str
    digest: str  # of the model
    videos: Mapping[TrackSubject, JoinedVideo]  # sorted
    statistics_UDS: Floats  # of the videos
    scores: Mapping[str, ScoredOutput]  # of each output and their mean

    def merged(self, task: FrameLabelTask) -> Floats:
        """Return the statistics of all videos together, (D, S)."""
        return merge_statistics(task, self.statistics_UDS)

    def frames(self, task: FrameLabelTask) -> int:
        """Return the frames that the scores are of."""
        return count_valid(task, self.merged(task))


def unit_of(labels: LabelTrack) -> str:
    """Return what intervals leave out together: the person, or where nobody is named the media file."""
    return f"{labels.subject.source}/{labels.person or labels.group}"


def score_model(
    predictions: PredictionSet,
    labels: Mapping[TrackSubject, LabelTrack],
    chosen: Collection[TrackSubject],
    behind_last: BehindLast,
) -> ScoredModel | None:
    """Return a model's scores on the chosen videos that it has predictions of; None where it has none of them."""
    task = predictions.task
    videos = {
        subject: join_video(labels[subject], predictions.tracks[subject], behind_last)
        for subject in sorted(chosen)
        if subject in predictions.tracks
    }
    if not videos:
        return None
    statistics_UDS = np.stack([count_video(task, video) for video in videos.values()])
    units = [unit_of(video.labels) for video in videos.values()]
    return ScoredModel(
        name=predictions.name,
        digest=predictions.identity.digest,
        videos=videos,
        statistics_UDS=statistics_UDS,
        scores=score_with_intervals(task, statistics_UDS, units),
    )


def count_video(task: FrameLabelTask, video: JoinedVideo) -> Floats:
    """Return the statistics of a video's scored frames, (D, S)."""
    scored_N = np.isfinite(video.likelihoods_ND).all(1)
    return count_frames(task, video.labels.values_NK[scored_N], video.likelihoods_ND[scored_N])
