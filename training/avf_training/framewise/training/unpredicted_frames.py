"""Validation frames that a model has no prediction of its own for: how they are scored, by the rule of report-frames.

A labelled frame without a row of the tracks has the prediction of the row before it, and before the first row that of
the first. A row between predictions, as of models that say one thing a second, has the straight line between them. By
the protocol `authors_code` such frames are left out, as in the released code.

Shapes: N rows of a video, M labelled frames without a row, O outputs, K label columns.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from avf_shards.text import count_noun

from avf_training.evaluation.metrics import Floats
from avf_training.framewise.labels.label_track import LabelTrack
from avf_training.framewise.postprocessing.timeline import interpolate_to_times
from avf_training.framewise.protocol import ProtocolOptions
from avf_training.framewise.sampling.frame_rate import frame_step, reader_rows
from avf_training.framewise.sampling.stretches import split_at_gaps
from avf_training.framewise.training.frame_recipe import FrameRecipe
from avf_training.framewise.training.joined_tracks import JoinedTracks, label_rows
from avf_training.framewise.training.window_data import RowsOfVideo, cut_evaluation_windows, predicted_positions

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FramesWithoutRow:
    """The valid labels of a video whose frames have no row, or every so many of them, as rows are read."""

    frames_M: npt.NDArray[np.int64]
    values_MK: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.frames_M)


@dataclass(frozen=True, kw_only=True)
class ValidationCounts:
    """The frames of validation that a score is of; models of five rows a second read every so many."""

    scored_frames: int
    repeated: int  # of these, frames without a row of the tracks, which have the prediction of another frame
    left_out: int  # frames with a valid label that are not scored

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


def counts_every_frame(options: ProtocolOptions) -> bool:
    """Return whether frames without a prediction of their own are scored; the released code leaves them out."""
    return options.dynamic_development == "right"


def list_frames_without_row(tracks: JoinedTracks, labels: LabelTrack, *, every: bool) -> FramesWithoutRow:
    """Return the valid labels of a video whose frames have no row. Raises as `label_rows`.

    Args:
        tracks: of the video.
        labels: likewise.
        every: all of these frames, and not every so many as five rows a second read.
    """
    numbers_M = np.flatnonzero(labels.is_valid & ~np.isin(labels.frames_N, label_rows(tracks, labels).frames_R))
    if not every:
        numbers_M = numbers_M[reader_rows(len(numbers_M), labels.fps)]
    return FramesWithoutRow(frames_M=labels.frames_N[numbers_M], values_MK=labels.values_NK[numbers_M])


def repeat_before(frames_N: npt.NDArray[np.int64], frames_M: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the row whose prediction counts for each frame without one: that before it, or else the first, (M,)."""
    return np.maximum(0, np.searchsorted(frames_N, frames_M, side="right") - 1).astype(np.int64)


def join_predictions(
    video: RowsOfVideo, missing: FramesWithoutRow, predicted_NO: Floats, options: ProtocolOptions
) -> tuple[Floats, Floats]:
    """Return the labels and predictions of the frames of a video that are scored, labels first.

    Args:
        video: its rows.
        missing: its frames without a row.
        predicted_NO: prediction of each row, nan where there is none.
        options: which decide whether frames without a prediction of their own count.
    """
    truth_NK = video.values_NK.astype(np.float64)
    known_N = np.asarray(np.isfinite(predicted_NO).all(1))
    if not counts_every_frame(options) or not known_N.any():
        return truth_NK[known_N], predicted_NO[known_N]
    filled_NO = _fill_between(video, predicted_NO, known_N)
    before_M = repeat_before(video.frames_N, missing.frames_M)
    truth = np.concatenate([truth_NK, missing.values_MK.astype(np.float64)])
    return truth, np.concatenate([filled_NO, filled_NO[before_M]])


def _fill_between(video: RowsOfVideo, predicted_NO: Floats, known_N: npt.NDArray[np.bool_]) -> Floats:
    """Return a prediction for each row: straight lines over frame numbers between those of a stretch without a gap."""
    if known_N.all():
        return predicted_NO
    filled_NO = predicted_NO.copy()
    numbers_N = video.frames_N.astype(np.float64)
    for each in split_at_gaps(video.frames_N, frame_step(video.labels.fps)):
        known = known_N[each]
        if not known.any():  # a stretch without a window: the nearest predictions of the video count
            filled_NO[each] = interpolate_to_times(numbers_N[known_N], predicted_NO[known_N], numbers_N[each])
        else:
            filled_NO[each] = interpolate_to_times(numbers_N[each][known], predicted_NO[each][known], numbers_N[each])
    return filled_NO


def count_validation(
    videos: Sequence[RowsOfVideo], missing: Iterable[FramesWithoutRow], recipe: FrameRecipe, options: ProtocolOptions
) -> ValidationCounts:
    """Return how many frames of validation are scored, and how many have no prediction of their own."""
    scored = repeated = left_out = 0
    for video, without in zip(videos, missing, strict=True):
        valid_N = np.asarray(np.isfinite(video.values_NK).all(1))
        rows = int(valid_N.sum())
        if counts_every_frame(options) and len(video.frames_N):
            scored, repeated = scored + rows + len(without), repeated + len(without)
            continue
        predicted_N = np.zeros(len(valid_N), bool)
        if len(video.frames_N):
            windows = cut_evaluation_windows(video.frames_N, recipe, options)
            positions_S = predicted_positions(recipe.model, windows.rows_VT.shape[1])
            rows_VS, valid_VS = windows.rows_VT[:, positions_S], windows.valid_VT[:, positions_S]
            predicted_N[rows_VS[valid_VS]] = True
        rows_scored = int((valid_N & predicted_N).sum())
        scored, left_out = scored + rows_scored, left_out + rows - rows_scored + len(without)
    return ValidationCounts(scored_frames=scored, repeated=repeated, left_out=left_out)
