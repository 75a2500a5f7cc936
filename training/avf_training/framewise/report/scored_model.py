"""The predictions of one model joined with labels, and its scores."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from avf_shards.errors import UserError

from avf_training.evaluation.metrics import Floats
from avf_training.framewise.combination.record import EnsembleRecord
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


def choose_videos(
    labels: Mapping[TrackSubject, LabelTrack],
    predicted: Collection[TrackSubject],
    record: EnsembleRecord | None,
    split: str | None,
) -> tuple[str, list[TrackSubject]]:
    """Return which videos are scored, in words, and the videos.

    Args:
        record: of the ensemble that is reported; None: it is a single model.
        split: set of the owners, or `all`; None: those that the record scores, or the validation set, or all where the
            labels name no sets.

    Raises UserError where there is none.
    """
    both = sorted(set(labels) & set(predicted))
    if not both:
        raise UserError("no video has labels and predictions; name labels of the same corpus")
    if split is None and record is not None:
        scored = {TrackSubject(source=each.source, video_id=each.video, person=each.person)
                  for each in record.videos if each.scored}  # fmt: skip
        chosen = [subject for subject in both if subject in scored]
        if not chosen:
            raise UserError(f"{record.name}: every labelled video was seen in training; name a set with --split")
        return "labelled videos that are new to the ensemble's members", chosen
    if split in (None, "all"):
        if split is None and any(labels[subject].split is not None for subject in both):
            split = "validation"
        else:
            return "all labelled videos", both
    chosen = [subject for subject in both if labels[subject].split == split]
    if not chosen:
        sets = sorted({str(labels[subject].split or "none") for subject in both})
        raise UserError(f"--split {split}: no video of this set has predictions; there are videos of {', '.join(sets)}")
    return f"labelled videos of the {split} set", chosen


def choose_for_member(
    record: EnsembleRecord | None, name: str, chosen: Sequence[TrackSubject]
) -> Sequence[TrackSubject]:
    """Return the videos that a member of an ensemble is scored on: those that it answers."""
    if record is None or name not in {member.name for member in record.members}:
        return chosen
    answered = {TrackSubject(source=each.source, video_id=each.video, person=each.person)
                for each in record.videos if name in each.members}  # fmt: skip
    return [subject for subject in chosen if subject in answered]
