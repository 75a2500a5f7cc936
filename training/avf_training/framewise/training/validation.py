"""The validation videos of a run: which frames a score is of, and what the model predicts there.

A score is that of `report-frames` on what `predict-frames` writes of the same model: the whole track of a video is
predicted, and a labelled frame without a row has the prediction of the frame before it. By the protocol `authors_code`
every so many labelled rows are read and scored, and frames without a prediction of their own are left out, as in the
released code.

Shapes: N frames that are scored, O outputs, K label columns.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from avf_shards.text import count_noun

from avf_training.evaluation.metrics import Floats
from avf_training.framewise.predictions.truth_join import match_frames
from avf_training.framewise.protocol import ProtocolOptions
from avf_training.framewise.sampling.frame_rate import reader_rows
from avf_training.framewise.sampling.normalization import FeatureScale
from avf_training.framewise.training.frame_network import FrameNetwork
from avf_training.framewise.training.frame_prediction import predict_frames, predict_rows
from avf_training.framewise.training.frame_recipe import FrameRecipe
from avf_training.framewise.training.joined_tracks import JoinedTracks, label_rows
from avf_training.framewise.training.labelled_videos import LabelledVideo
from avf_training.framewise.training.window_data import (
    RowsOfVideo,
    choose_rows,
    cut_evaluation_windows,
    predicted_positions,
    scale_video,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ScoredFrames:
    """The labels and predictions of frames that are scored."""

    truth_NK: npt.NDArray[np.float32]  # nan where not valid
    predicted_NO: Floats  # values, or logits


@dataclass(frozen=True, kw_only=True)
class ValidationCounts:
    """The frames of validation that a score is of."""

    scored_frames: int
    repeated: int = 0  # of these, frames without a row of the tracks, which have the prediction of another frame
    left_out: int = 0  # frames with a valid label that are not scored

    def __add__(self, other: "ValidationCounts") -> "ValidationCounts":
        """Return the counts of both together."""
        return ValidationCounts(
            scored_frames=self.scored_frames + other.scored_frames,
            repeated=self.repeated + other.repeated,
            left_out=self.left_out + other.left_out,
        )

    def warn(self) -> None:
        """Say which frames have no prediction of their own, where there are any."""
        if self.repeated:
            log.warning(
                "%s of validation %s no row in the tracks, and %s scored with the prediction of the frame before, as "
                "in report-frames",
                count_noun(self.repeated, "frame"),
                "has" if self.repeated == 1 else "have",
                "is" if self.repeated == 1 else "are",
            )
        if self.left_out:
            log.warning(
                "%s of validation with a valid label %s no prediction and %s not scored",
                count_noun(self.left_out, "frame"),
                "has" if self.left_out == 1 else "have",
                "is" if self.left_out == 1 else "are",
            )


def join_scored(parts: Sequence[ScoredFrames]) -> ScoredFrames:
    """Return the frames of several videos together."""
    return ScoredFrames(
        truth_NK=np.concatenate([part.truth_NK for part in parts]),
        predicted_NO=np.concatenate([part.predicted_NO for part in parts]),
    )


def count_frames_to_score(videos: Sequence[LabelledVideo]) -> ValidationCounts:
    """Return how many frames `predict_scored_frames` gives of videos.

    Raises UserError where labels and tracks of a video have no frame in common, OtherTrackError where rates differ.
    """
    counts = ValidationCounts(scored_frames=0)
    for video in videos:
        label_rows(video.tracks, video.labels)  # refuses labels of other frames
        matched = match_frames(video.labels, video.tracks.frames_N)
        counts += ValidationCounts(scored_frames=matched.own + matched.repeated, repeated=matched.repeated)
    return counts


def predict_scored_frames(video: LabelledVideo, predict: Callable[[JoinedTracks], Floats]) -> ScoredFrames:
    """Return the frames with a valid label of a video, each with the prediction that `report-frames` gives it.

    Args:
        video: its tracks and labels.
        predict: from the tracks to a prediction of each of their frames.
    """
    rows_N = match_frames(video.labels, video.tracks.frames_N).rows_N
    valid_N = video.labels.is_valid
    return ScoredFrames(truth_NK=video.labels.values_NK[valid_N], predicted_NO=predict(video.tracks)[rows_N[valid_N]])


class Validation:
    """The videos that select an epoch, and how their frames are scored by the protocol of a run."""

    def __init__(
        self,
        videos: Sequence[LabelledVideo],
        recipe: FrameRecipe,
        options: ProtocolOptions,
        scales: Sequence[FeatureScale],
    ) -> None:
        """Read nothing yet. Raises as `count_frames_to_score`.

        Args:
            videos: with their tracks.
            recipe: of the run.
            options: of its protocol.
            scales: of the streams, of the training videos.
        """
        self._videos, self._options = videos, options
        self._rows: list[RowsOfVideo] | None = None
        if options.dynamic_development == "right":
            self.counts = count_frames_to_score(videos)
            return
        self._rows = [
            scale_video(choose_rows(each.tracks, each.labels, recipe), recipe, scales, by_video=False)
            for each in videos
        ]
        self.counts = ValidationCounts(scored_frames=0)
        for rows, video in zip(self._rows, videos, strict=True):
            self.counts += _count_rows(rows, video, recipe, options)

    def __len__(self) -> int:
        return len(self._videos)

    def predict(self, model: FrameNetwork, number: int) -> ScoredFrames:
        """Return the scored frames of a video, by its number, predicted by a model in eval mode."""
        if self._rows is None:
            return predict_scored_frames(self._videos[number], lambda tracks: predict_frames(model, tracks))
        video = self._rows[number]
        outputs = model.spec.task.outputs
        if not len(video.frames_N):
            return ScoredFrames(truth_NK=video.values_NK, predicted_NO=np.empty((0, outputs)))
        predicted_NO = predict_rows(model, video.read_all(), video.frames_N, self._options)
        known_N = _predicted_rows(video, model.spec.recipe, self._options)
        return ScoredFrames(truth_NK=video.values_NK[known_N], predicted_NO=predicted_NO[known_N])


def _predicted_rows(video: RowsOfVideo, recipe: FrameRecipe, options: ProtocolOptions) -> npt.NDArray[np.bool_]:
    """Return which rows of a video are in a window, at a position that is predicted."""
    windows = cut_evaluation_windows(video.frames_N, recipe, options)
    positions_S = predicted_positions(recipe.model, windows.rows_VT.shape[1])
    known_N = np.zeros(len(video.frames_N), bool)
    known_N[windows.rows_VT[:, positions_S][windows.valid_VT[:, positions_S]]] = True
    return known_N


def _count_rows(
    video: RowsOfVideo, labelled: LabelledVideo, recipe: FrameRecipe, options: ProtocolOptions
) -> ValidationCounts:
    """Return how many of the rows that are read of a video are scored, and how many labels are not."""
    valid_N = np.asarray(np.isfinite(video.values_NK).all(1))
    scored = 0
    if len(video.frames_N):
        scored = int((valid_N & _predicted_rows(video, recipe, options)).sum())
    labels = labelled.labels
    without = int((labels.is_valid & ~np.isin(labels.frames_N, label_rows(labelled.tracks, labels).frames_R)).sum())
    if not recipe.is_clip_model:  # every so many are read
        without = len(reader_rows(without, labels.fps))
    return ValidationCounts(scored_frames=scored, left_out=int(valid_N.sum()) - scored + without)
