"""Predictions at the frames of labels: which are a frame's own, which are repeated, and which are not there.

Shapes: N labelled frames, D outputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
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


@dataclass(frozen=True, kw_only=True)
class MatchedFrames:
    """Which prediction counts for each labelled frame of a video."""

    rows_N: npt.NDArray[np.int64]  # row of the predictions: a frame's own, or that before it, or else the first
    left_out_N: npt.NDArray[np.bool_]  # frames behind the last prediction that are not scored
    own: int  # valid labels whose frame has a prediction of its own
    repeated: int  # valid labels whose frame has that of another frame
    left_out: int  # valid labels behind the last prediction that are not scored
    longest_gap: int  # frames over which a prediction is repeated


def match_frames(
    labels: LabelTrack, predicted_frames_M: npt.NDArray[np.int64], behind_last: BehindLast = "repeat"
) -> MatchedFrames:
    """Return which of the predictions, by the numbers of their frames, counts for each label.

    A frame without one has that of the frame before it, and before the first prediction the first one.
    """
    frames_N, known_M = labels.frames_N, predicted_frames_M
    rows_N = np.maximum(0, np.searchsorted(known_M, frames_N, side="right") - 1).astype(np.int64)
    own_N = known_M[rows_N] == frames_N
    left_N = np.asarray((frames_N > known_M[-1]) & (behind_last == "leave_out"))
    valid_N = labels.is_valid
    return MatchedFrames(
        rows_N=rows_N,
        left_out_N=left_N,
        own=int((valid_N & own_N).sum()),
        repeated=int((valid_N & ~own_N & ~left_N).sum()),
        left_out=int((valid_N & left_N).sum()),
        longest_gap=int(np.abs(frames_N - known_M[rows_N])[valid_N & ~left_N].max(initial=0)),
    )


def join_video(labels: LabelTrack, predicted: FeatureTrack, behind_last: BehindLast = "repeat") -> JoinedVideo:
    """Return predictions at the frames of labels, by the rule of `match_frames`.

    Raises OtherTrackError where rates differ.
    """
    check_same_rate(f"labels of {labels.subject}", labels.fps, "its predictions", predicted.fps)
    matched = match_frames(labels, predicted.frames_N, behind_last)
    joined_ND = to_likelihoods(labels.task, predicted.vectors_ND)[matched.rows_N]
    joined_ND[matched.left_out_N] = np.nan
    return JoinedVideo(
        labels=labels,
        likelihoods_ND=joined_ND,
        own=matched.own,
        repeated=matched.repeated,
        left_out=matched.left_out,
        unlabelled=int((~np.isin(predicted.frames_N, labels.frames_N)).sum()),
        longest_gap_s=float(matched.longest_gap / predicted.fps),
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
