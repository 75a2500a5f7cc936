"""Predictions at the frames of labels: which are a frame's own, which are repeated, and which are not there.

Shapes: N labelled frames, D outputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from avf_shards.errors import UserError

from avf_training.evaluation.metrics import Floats
from avf_training.framewise.labels.label_track import LabelTrack, list_label_tracks
from avf_training.framewise.labels.tasks import FrameLabelTask
from avf_training.framewise.predictions.likelihoods import to_likelihoods
from avf_training.framewise.tracks.feature_track import FeatureTrack
from avf_training.framewise.tracks.frame_rates import check_same_rate
from avf_training.framewise.tracks.identity import TrackSubject

BehindLast = Literal["repeat", "leave_out"]
"""What becomes of labels behind the last prediction: it is repeated, as a submission does, or they are not scored, as
SUN's code does on development videos.
"""


@dataclass(frozen=True, kw_only=True)
class JoinedVideo:
    """A video's labels and, at the same frames, what is predicted."""

    labels: LabelTrack
    likelihoods_ND: Floats  # of each labelled frame; nan in frames that are left out
    own: int  # valid labels whose frame has a prediction of its own
    repeated: int  # valid labels whose frame has that of another frame
    left_out: int  # valid labels behind the last prediction that are not scored
    unlabelled: int  # predictions of frames without a label
    longest_gap_s: float  # over which a prediction is repeated


def read_labels(folder: Path, task: FrameLabelTask) -> dict[TrackSubject, LabelTrack]:
    """Return the labels of every person of a task. Raises as `list_label_tracks`."""
    return {track.subject: track for track in list_label_tracks(folder, task)}


def join_video(labels: LabelTrack, predicted: FeatureTrack, behind_last: BehindLast = "repeat") -> JoinedVideo:
    """Return predictions at the frames of labels. A frame without one has that of the frame before it.

    Before the first prediction, the first one holds. Raises OtherTrackError where rates differ.
    """
    check_same_rate(f"labels of {labels.subject}", labels.fps, "its predictions", predicted.fps)
    likelihoods_MD = to_likelihoods(labels.task, predicted.vectors_ND)
    frames_N, known_M = labels.frames_N, predicted.frames_N
    source_N = np.maximum(0, np.searchsorted(known_M, frames_N, side="right") - 1)
    own_N = known_M[source_N] == frames_N
    left_N = (frames_N > known_M[-1]) if behind_last == "leave_out" else np.zeros(len(frames_N), bool)
    joined_ND = likelihoods_MD[source_N]
    joined_ND[left_N] = np.nan
    valid_N = np.isfinite(labels.values_NK).all(1)
    return JoinedVideo(
        labels=labels,
        likelihoods_ND=joined_ND,
        own=int((valid_N & own_N).sum()),
        repeated=int((valid_N & ~own_N & ~left_N).sum()),
        left_out=int((valid_N & left_N).sum()),
        unlabelled=int((~np.isin(known_M, frames_N)).sum()),
        longest_gap_s=float(np.abs(frames_N - known_M[source_N])[valid_N & ~left_N].max(initial=0) / predicted.fps),
    )


def scored_truth(joined: JoinedVideo) -> tuple[Floats, Floats]:
    """Return the labels and likelihoods of the frames that are scored."""
    scored_N = np.isfinite(joined.labels.values_NK).all(1) & np.isfinite(joined.likelihoods_ND).all(1)
    return joined.labels.values_NK[scored_N].astype(np.float64), joined.likelihoods_ND[scored_N]


def refuse_no_video(labels: Mapping[TrackSubject, LabelTrack], predicted: Sequence[TrackSubject], where: str) -> None:
    """Raise UserError where labels and predictions have no video in common."""
    if not labels.keys() & set(predicted):
        sources = sorted({each.source for each in predicted}), sorted({each.source for each in labels})
        raise UserError(
            f"{where}: predictions are of {', '.join(sources[0])} and labels of {', '.join(sources[1])}, "
            "and no video has both; name labels of the same corpus"
        )
