"""Predictions of a sequence model for the frames of a video, out of its windows.

Shapes: N rows of a video, V windows, T rows of a window, S predictions of a window, O outputs.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from avf_training.evaluation.metrics import Floats
from avf_training.framewise.postprocessing.overlaps import merge_overlaps
from avf_training.framewise.postprocessing.timeline import interpolate_to_times
from avf_training.framewise.protocol import ProtocolOptions
from avf_training.framewise.sampling.frame_rate import frame_step
from avf_training.framewise.sampling.stretches import nearest_rows, split_at_gaps
from avf_training.framewise.sampling.windows import PADDING_ROW, extraction_windows
from avf_training.framewise.training.frame_network import FrameNetwork
from avf_training.framewise.training.frame_recipe import FrameRecipe
from avf_training.framewise.training.joined_tracks import JoinedTracks, StoredVectors
from avf_training.framewise.training.window_data import (
    ScaledStream,
    VideoWindows,
    cut_evaluation_windows,
    cut_frame_clips,
    gather,
    predicted_positions,
    scale_streams,
)

_BATCH = 64  # windows of a forward pass
Output = Callable[[FrameNetwork, Sequence[Tensor], Tensor], Tensor]
"""From model, streams (B, T, D) and valid_BT to (B, S, O)."""


def read_outputs(model: FrameNetwork, streams: Sequence[Tensor], valid_BT: Tensor) -> Tensor:
    """Return what the model predicts."""
    out: Tensor = model(streams, None if valid_BT.all() else valid_BT)
    return out


def read_layer(model: FrameNetwork, streams: Sequence[Tensor], valid_BT: Tensor) -> Tensor:
    """Return what the last layer says, for the audio-visual models."""
    return model.layer(streams, None if valid_BT.all() else valid_BT)


@torch.no_grad()
def predict_windows(
    model: FrameNetwork,
    streams: Sequence[StoredVectors | ScaledStream],
    windows: VideoWindows,
    output: Output = read_outputs,
) -> tuple[Floats, VideoWindows]:
    """Return what a model in eval mode says of windows, (V, S, O), and the rows that these predictions belong to."""
    device = next(model.parameters()).device
    parts = []
    for start in range(0, len(windows.rows_VT), _BATCH):
        cut = VideoWindows(
            rows_VT=windows.rows_VT[start : start + _BATCH], valid_VT=windows.valid_VT[start : start + _BATCH]
        )
        vectors = [torch.from_numpy(gather(stream_ND, cut)).to(device) for stream_ND in streams]
        outputs_VTK = output(model, vectors, torch.from_numpy(cut.valid_VT).to(device))
        parts.append(outputs_VTK.double().cpu().numpy())
    outputs = np.concatenate(parts)
    steps = windows.rows_VT.shape[1]
    is_per_frame = outputs.shape[1] == steps
    positions = np.arange(steps) if is_per_frame else predicted_positions(model.spec.recipe.model, steps)
    return outputs, VideoWindows(rows_VT=windows.rows_VT[:, positions], valid_VT=windows.valid_VT[:, positions])


def predict_rows(
    model: FrameNetwork, streams: Sequence[StoredVectors], frames_N: npt.NDArray[np.int64], options: ProtocolOptions
) -> Floats:
    """Return a prediction for each row of a video that is scored, (N, O); nan for rows of no window."""
    recipe = model.spec.recipe
    windows = cut_evaluation_windows(frames_N, recipe, options)
    predicted_VSO, used = predict_windows(model, streams, windows)
    rows_VS = np.where(used.valid_VT, used.rows_VT, PADDING_ROW)
    merged_NO, _ = merge_overlaps(predicted_VSO, rows_VS, len(frames_N), several=recipe.overlap)
    return merged_NO


def predict_frames(model: FrameNetwork, tracks: JoinedTracks, output: Output = read_outputs) -> Floats:
    """Return a prediction for every frame of the tracks, (N, O).

    Models of five rows a second read windows at full rate, take the rows at every so many frames of them, and their
    predictions are interpolated in time; where windows overlap, the mean counts. Stretches of frames between two gaps,
    in which a row of the five would be missing, are predicted each by itself.
    """
    recipe = model.spec.recipe
    streams, rows = scale_streams(tracks.streams, recipe, model.scales()), len(tracks.frames_N)
    if recipe.is_clip_model:
        predicted_VSO, used = predict_windows(model, streams, cut_frame_clips(tracks.frames_N, recipe), output)
        merged_NO, _ = merge_overlaps(predicted_VSO, used.rows_VT, rows, valid_KT=used.valid_VT, several=recipe.overlap)
        return merged_NO
    stretches = split_at_gaps(tracks.frames_N, frame_step(tracks.fps))
    windows = _cut_extraction_windows(tracks.frames_N, stretches, tracks.fps, recipe)
    predicted_VSO, used = predict_windows(model, streams, windows, output)
    merged_NO, known_N = merge_overlaps(predicted_VSO, used.rows_VT, rows, valid_KT=used.valid_VT)
    parts = []
    for each in stretches:
        times_s, known = tracks.times_s_N[each], known_N[each]
        parts.append(interpolate_to_times(times_s[known], merged_NO[each][known], times_s))
    return np.concatenate(parts)


def _cut_extraction_windows(
    frames_N: npt.NDArray[np.int64], stretches: Sequence[slice], fps: float, recipe: FrameRecipe
) -> VideoWindows:
    """Return the windows of the final extraction, of each stretch by the numbers of its frames.

    The row that is nearest to a number stands for a frame that is missing. A shorter window, as of a short video, gets
    padding in front; a longer one, as at six frames a second, where each row is read, becomes two, of its first and its
    last rows.
    """
    size, windows = recipe.window, []
    for each in stretches:
        numbers = frames_N[each]
        for offsets in extraction_windows(int(numbers[-1] - numbers[0]) + 1, fps, size):
            window = each.start + nearest_rows(numbers, numbers[0] + offsets)
            windows += [window] if len(window) <= size else [window[:size], window[-size:]]
    padded = [np.concatenate([np.full(size - len(row_T), PADDING_ROW), row_T]) for row_T in windows]
    rows_VT = np.stack(padded).astype(np.int64)
    return VideoWindows(rows_VT=rows_VT, valid_VT=rows_VT != PADDING_ROW)
