"""Predictions as the challenge asks for them: by the name of the video and the number of the frame."""

from collections.abc import Collection

import numpy as np
from avf_shards.errors import UserError

from avf_training.evaluation.metrics import Floats
from avf_training.framewise.labels.tasks import FrameLabelTask
from avf_training.framewise.predictions.likelihoods import to_answers, to_likelihoods
from avf_training.framewise.predictions.prediction_set import PredictionSet
from avf_training.framewise.tracks.identity import TrackSubject

Answers = dict[str, dict[int, Floats]]


def list_answers(predictions: PredictionSet, source: str | None = None) -> Answers:
    """Return the answers of each video by frame number.

    Args:
        source: corpus that the videos must be of; None: of any, where names are unique.

    Raises UserError where two tracks answer for one name: two corpora, or two persons that the names do not tell apart.
    """
    subjects: dict[str, TrackSubject] = {}
    answers: Answers = {}
    for subject, track in predictions.tracks.items():
        if source is not None and subject.source != source:
            continue
        if subject.video_id in subjects:
            other = subjects[subject.video_id]
            remedy = (
                "name one with --source" if other.source != subject.source else "give each person a name of its own"
            )
            raise UserError(f"video {subject.video_id}: is both {other} and {subject}; {remedy}")
        subjects[subject.video_id] = subject
        rows_ND = to_answers(predictions.task, to_likelihoods(predictions.task, track.vectors_ND))
        answers[subject.video_id] = dict(zip(track.frames_N.tolist(), rows_ND, strict=True))
    if not answers:
        raise UserError(f"--source {source}: {predictions.name} has no predictions of it")
    return answers


def find_typical_answer(task: FrameLabelTask, answers: Answers) -> Floats:
    """Return what says least wrong of a video nobody looked at: the mean of all answers, the most frequent class, or
    each action unit as it mostly is.
    """
    rows_ND = np.concatenate([np.stack(list(rows.values())) for rows in answers.values()])
    if task.name == "va":
        return np.asarray(rows_ND.mean(0))
    if task.name == "au":
        return np.asarray(rows_ND.mean(0) > 0.5, np.float64)
    return np.array([np.bincount(rows_ND[:, 0].astype(np.int64)).argmax()], np.float64)


def fill_missing_videos(task: FrameLabelTask, answers: Answers, videos: Collection[str]) -> tuple[Answers, list[str]]:
    """Return answers that have a typical one for each video without any, and the names of those videos, sorted."""
    missing = sorted(set(videos) - answers.keys())
    if not missing:
        return answers, []
    typical_D = find_typical_answer(task, answers)
    return answers | {video: {1: typical_D} for video in missing}, missing
