"""Windows of labelled videos: what a model trains on, and what it is scored on.

Shapes: N rows of a video, V windows, T rows of a window, S labels of a window, D values of a stream, K label columns.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from avf_training.evaluation.metrics import Floats
from avf_training.framewise.labels.label_track import LabelTrack
from avf_training.framewise.protocol import ProtocolOptions
from avf_training.framewise.sampling.frame_rate import STEPS_PER_SECOND, reader_rows
from avf_training.framewise.sampling.fusion_clips import cut_clips
from avf_training.framewise.sampling.normalization import (
    FeatureScale,
    ScaleKind,
    apply_scale,
    fit_scale,
    fit_scale_of_parts,
)
from avf_training.framewise.sampling.windows import PADDING_ROW, evaluation_windows, training_windows
from avf_training.framewise.training.frame_recipe import FrameRecipe
from avf_training.framewise.training.joined_tracks import JoinedTracks, StoredVectors, label_rows


@dataclass(frozen=True, kw_only=True)
class RowsOfVideo:
    """What a model reads of one video: rows with features, labels and frame numbers."""

    labels: LabelTrack
    streams: tuple[StoredVectors, ...]  # (M, D) of each extractor: the whole tracks, as they are stored
    rows_N: npt.NDArray[np.int64]  # row of the tracks that each row of the video has
    frames_N: npt.NDArray[np.int64]  # number of the frame of each row
    values_NK: npt.NDArray[np.float32]  # nan where not valid
    scales: tuple[FeatureScale, ...] = ()  # of the streams; empty: they are read as they are

    def read(self, number: int, rows_V: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.float32]:
        """Return the scaled vectors of a stream, by its number: of these rows of the video, or of all, (V, D)."""
        vectors_VD = self.streams[number][self.rows_N if rows_V is None else self.rows_N[rows_V]]
        if self.scales and not self.scales[number].is_identity:
            return apply_scale(vectors_VD.astype(np.float64), self.scales[number]).astype(np.float32)
        return vectors_VD.astype(np.float32)

    def read_all(self) -> tuple[npt.NDArray[np.float32], ...]:
        """Return the scaled vectors of every stream, (N, D)."""
        return tuple(self.read(number) for number in range(len(self.streams)))


@dataclass(frozen=True, kw_only=True)
class ScaledStream:
    """The vectors of one extractor for a video, scaled when they are read."""

    stored_ND: StoredVectors
    scale: FeatureScale

    def __getitem__(self, rows: Any) -> npt.NDArray[np.float32]:
        """Return the scaled vectors of rows, as an array is indexed."""
        vectors: StoredVectors = self.stored_ND[rows]
        if self.scale.is_identity:
            return vectors.astype(np.float32)
        return apply_scale(vectors.astype(np.float64), self.scale).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class VideoWindows:
    """The windows of one video, by row numbers."""

    rows_VT: npt.NDArray[np.int64]  # PADDING_ROW where there is no row
    valid_VT: npt.NDArray[np.bool_]  # False for padding


def choose_rows(tracks: JoinedTracks, labels: LabelTrack, recipe: FrameRecipe) -> RowsOfVideo:
    """Return the rows of a video that a model reads.

    For models of five rows a second, rows without a valid label are dropped first, and then every so many is read, as
    in the SUN team's code; the fusion transformer has all labelled rows. Raises as `label_rows`.
    """
    joined = label_rows(tracks, labels)
    rows_R = np.arange(len(joined.rows_R))
    if not recipe.is_clip_model:
        rows_R = np.flatnonzero(np.isfinite(joined.values_RK).all(1))
        rows_R = rows_R[reader_rows(len(rows_R), tracks.fps)]
    return RowsOfVideo(
        labels=labels,
        streams=tracks.streams,
        rows_N=joined.rows_R[rows_R],
        frames_N=joined.frames_R[rows_R],
        values_NK=joined.values_RK[rows_R],
    )


def cut_training_windows(video: RowsOfVideo, recipe: FrameRecipe, options: ProtocolOptions) -> VideoWindows:
    """Return the windows of a video to train on."""
    if recipe.is_clip_model:
        return cut_frame_clips(video.frames_N, recipe)
    if options.last_window == "append":
        # Rows more than a second apart are no sequence, however evenly they lie.
        rows_VT = training_windows(video.frames_N, recipe.window, longest_step=max(1.0, video.labels.fps))
    else:
        rows_VT = training_windows(video.frames_N, recipe.window, last="never")
    return VideoWindows(rows_VT=rows_VT, valid_VT=rows_VT != PADDING_ROW)


def cut_evaluation_windows(
    frames_N: npt.NDArray[np.int64], recipe: FrameRecipe, options: ProtocolOptions
) -> VideoWindows:
    """Return the windows that a video is scored on: all of it, short videos with padding."""
    if recipe.is_clip_model:
        return cut_frame_clips(frames_N, recipe)
    last = options.last_window == "append"
    rows_VT = evaluation_windows(frames_N, recipe.window, last="append" if last else "overwrite")
    return VideoWindows(rows_VT=rows_VT, valid_VT=rows_VT != PADDING_ROW)


def cut_frame_clips(frames_N: npt.NDArray[np.int64], recipe: FrameRecipe) -> VideoWindows:
    """Return clips of the fusion transformer."""
    clips = cut_clips(frames_N, length=recipe.window, stride=recipe.stride)
    return VideoWindows(rows_VT=clips.rows_KT, valid_VT=clips.valid_KT)


def predicted_positions(model: str, steps: int) -> npt.NDArray[np.int64]:
    """Return which rows of a window predictions belong to: all, or the last of each second for v6, v7 and v8."""
    if model in ("temporal_v6", "temporal_v7", "temporal_v8"):
        return np.arange(STEPS_PER_SECOND - 1, steps, STEPS_PER_SECOND)
    return np.arange(steps)


def gather(stream_ND: StoredVectors | ScaledStream, windows: VideoWindows) -> npt.NDArray[np.float32]:
    """Return the vectors of windows, (V, T, D); zeros for padding."""
    vectors_VTD = stream_ND[np.maximum(windows.rows_VT, 0)].astype(np.float32)
    vectors_VTD[~windows.valid_VT] = 0
    return vectors_VTD


def fit_scales(videos: Sequence[RowsOfVideo], recipe: FrameRecipe) -> tuple[FeatureScale, ...]:
    """Return the scale of each stream over the training videos; the identity where each video has its own."""
    kind: ScaleKind = recipe.normalization if recipe.normalization in ("min_max", "standard") else "none"
    return tuple(_fit_stream(videos, number, kind) for number in range(len(videos[0].streams)))


def _fit_stream(videos: Sequence[RowsOfVideo], number: int, kind: ScaleKind) -> FeatureScale:
    def read_each() -> Iterator[Floats]:
        for video in videos:
            yield video.streams[number][video.rows_N].astype(np.float64)

    return fit_scale_of_parts(read_each, videos[0].streams[number].shape[1], kind)


def scale_streams(
    streams: Sequence[StoredVectors], recipe: FrameRecipe, scales: Sequence[FeatureScale]
) -> tuple[ScaledStream, ...]:
    """Return the streams of one video, each with the scale of the training videos or with the video's own."""
    kind = _kind_by_video(recipe)
    return tuple(
        ScaledStream(
            stored_ND=stream_ND, scale=scale if kind is None else fit_scale(stream_ND.astype(np.float64), kind)
        )
        for stream_ND, scale in zip(streams, scales, strict=True)
    )


def _kind_by_video(recipe: FrameRecipe) -> ScaleKind | None:
    """Return the scale that each video has for itself; None where all have one."""
    kinds: dict[str, ScaleKind] = {"video_min_max": "min_max", "video_standard": "standard"}
    return kinds.get(recipe.normalization)


def scale_video(
    video: RowsOfVideo, recipe: FrameRecipe, scales: Sequence[FeatureScale], *, by_video: bool = True
) -> RowsOfVideo:
    """Return the video with the scales that its rows are read with.

    Args:
        by_video: a normalization by video is done; False for development videos of the released code.
    """
    kind = _kind_by_video(recipe)
    if kind is not None:
        own = kind if by_video else "none"
        scales = [_fit_stream([video], number, own) for number in range(len(video.streams))]
    return replace(video, scales=tuple(scales))
