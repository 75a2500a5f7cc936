"""The predictions of one model joined with labels, and its scores."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from avf_shards.errors import UserError

from avf_training.evaluation.metrics import Floats
from avf_training.framewise.combination.record import EnsembleRecord, VideoRecord
from avf_training.framewise.labels.label_track import LabelTrack, SplitName
from avf_training.framewise.labels.tasks import FrameLabelTask
from avf_training.framewise.labels.trained_videos import TrainedVideos, split_trained
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
    trained: TrainedVideos | None = None,
) -> tuple[str, list[TrackSubject]]:
    """Return which videos are scored, in words, and the videos.

    Args:
        record: of the ensemble that is reported; None: it is a single model.
        split: set of the owners, or `all`; None: those that the record scores and that are not of the set test, or
            the validation set, or all where the labels name no sets, without those that the model was trained on.
        trained: what the model was trained on, as its predictions say; None: they do not.

    Raises UserError where there is none.
    """
    subjects = sorted(set(labels) & set(predicted))
    if not subjects:
        raise UserError("no video has labels and predictions; name labels of the same corpus")
    if split is None and record is not None:
        scored = {_subject_of(each) for each in record.videos if each.scored}
        chosen = [subject for subject in subjects if subject in scored and labels[subject].split != "test"]
        if not chosen:
            raise UserError(
                f"{record.name}: every labelled video was seen in training, is of the set test, or had no labels when "
                "ensemble-frames ran; name a set with --split, or run ensemble-frames again with --labels"
            )
        return "labelled videos that are new to the ensemble's members, without those of the test set", chosen
    if split is None:
        return _choose_new(labels, subjects, trained)
    if split == "all":
        learned = count_trained(subjects, record, trained)
        known = f", {learned} of which the model was trained on" if learned else ""
        return f"all labelled videos ({_count_sets(labels, subjects)}{known})", subjects
    chosen = [subject for subject in subjects if labels[subject].split == split]
    if not chosen:
        sets = sorted({str(labels[subject].split or "none") for subject in subjects})
        raise UserError(f"--split {split}: no video of this set has predictions; there are videos of {', '.join(sets)}")
    seen = count_trained(chosen, record, trained)
    whom = "the model" if record is None else "every member that answers"
    words = f", {seen} of which {whom} was trained on" if seen else ""
    return f"labelled videos of the {split} set{words}", chosen


def count_trained(
    chosen: Collection[TrackSubject], record: EnsembleRecord | None, trained: TrainedVideos | None
) -> int | None:
    """Return how many videos a model, or every member that answers, was trained on; None where nothing says it."""
    if trained is not None:
        return len(split_trained(trained, chosen)[0])
    if record is None:
        return None
    # Ensembles of earlier versions: what was not labelled when they were written was not scored either.
    seen = {_subject_of(each) for each in record.videos if not each.scored and each.split is not None}
    return len(seen & {*chosen})


def _choose_new(
    labels: Mapping[TrackSubject, LabelTrack], subjects: Sequence[TrackSubject], trained: TrainedVideos | None
) -> tuple[str, list[TrackSubject]]:
    """Return the videos of the validation set, or of all where there are no sets, that are new to a single model."""
    words, chosen = f"all labelled videos ({_count_sets(labels, subjects)})", list(subjects)
    if any(labels[subject].split is not None for subject in subjects):
        words, chosen = (
            "labelled videos of the validation set",
            [subject for subject in subjects if labels[subject].split == "validation"],
        )
        if not chosen:
            sets = sorted({str(labels[subject].split or "none") for subject in subjects})
            raise UserError(
                f"no video of the validation set has predictions; there are videos of {', '.join(sets)}; name a set "
                "with --split"
            )
    learned, chosen = split_trained(trained, chosen)
    if not chosen:
        raise UserError(f"the model was trained on all {words}, as its predictions say; name a set with --split")
    if learned:
        words += f", without {len(learned)} that the model was trained on"
    related = 0 if trained is None else sum(trained.related(subject, labels[subject]) for subject in chosen)
    if related:
        words += f"; of {related}, the model was trained on another of the same person or file"
    return words, chosen


def choose_test_videos(
    labels: Mapping[TrackSubject, LabelTrack],
    predicted: Collection[TrackSubject],
    split: str | None,
    trained: TrainedVideos | None = None,
) -> list[TrackSubject]:
    """Return the predicted videos of the test set that are new to the model, which stand apart; none where a set is
    named.
    """
    _, subjects = split_trained(trained, sorted(set(labels) & set(predicted)) if split is None else [])
    return [subject for subject in subjects if labels[subject].split == "test"]


def _subject_of(video: VideoRecord) -> TrackSubject:
    return TrackSubject(source=video.source, video_id=video.video, person=video.person)


def _count_sets(labels: Mapping[TrackSubject, LabelTrack], subjects: Collection[TrackSubject]) -> str:
    """Return how many videos are of each set, in words."""
    counts = Counter(labels[subject].split for subject in subjects)
    words = [f"{counts[name]} of the {name} set" for name in get_args(SplitName) if counts[name]]
    return ", ".join([*words, *([f"{counts[None]} of no set"] if counts[None] else [])])


def choose_for_member(
    record: EnsembleRecord | None, name: str, chosen: Sequence[TrackSubject]
) -> Sequence[TrackSubject]:
    """Return the videos that a member of an ensemble is scored on: those that it answers."""
    if record is None or name not in {member.name for member in record.members}:
        return chosen
    answered = {_subject_of(each) for each in record.videos if name in each.members}
    return [subject for subject in chosen if subject in answered]
