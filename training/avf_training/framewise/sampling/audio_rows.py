"""Rows of audio features for the frames of a video. R rows, N frames, D features."""

import numpy as np

from avf_training.evaluation.metrics import Floats

SAMPLE_RATE_HZ = 16_000
HUBERT_HOP, HUBERT_FIELD = 320, 400  # samples between rows, and seen by a row
VGGISH_ROW_S = 0.96


def hubert_rows_of_frames(rows_RD: Floats, frames: int, fps: float) -> Floats:
    """Return a vector for each frame, (N, D), from rows of wav2vec 2.0 or HuBERT, as `rows_of_frames`."""
    return rows_of_frames(rows_RD, frames, fps, HUBERT_HOP, HUBERT_FIELD)


def rows_of_frames(rows_RD: Floats, frames: int, fps: float, hop: int, field: int) -> Floats:
    """Return a vector for each frame, (N, D): the mean of the rows whose centre lies in it, else the nearest row.

    Frame i, counted from 1, shows the time from (i - 1) / fps on. Without a row, zeros.

    Args:
        hop: samples from the start of one row to that of the next.
        field: samples that a row is of.
    """
    if not len(rows_RD):
        return np.zeros((frames, rows_RD.shape[1]))
    centres_s_R = (np.arange(len(rows_RD)) * hop + field / 2) / SAMPLE_RATE_HZ
    starts_s_N = np.arange(frames) / fps
    first_N = np.searchsorted(centres_s_R, starts_s_N, side="left")
    stop_N = np.searchsorted(centres_s_R, (np.arange(frames) + 1) / fps, side="left")
    sums_RD = np.concatenate([np.zeros((1, rows_RD.shape[1])), np.cumsum(rows_RD, 0, dtype=np.float64)])
    counts_N = stop_N - first_N
    means_ND = (sums_RD[stop_N] - sums_RD[first_N]) / np.maximum(counts_N, 1)[:, None]
    nearest_N = np.abs(centres_s_R[_neighbours(first_N, len(rows_RD))] - starts_s_N[:, None]).argmin(1)
    nearest_ND = rows_RD[_neighbours(first_N, len(rows_RD))[np.arange(frames), nearest_N]]
    return np.asarray(np.where(counts_N[:, None] > 0, means_ND, nearest_ND))


def _neighbours(
    first_N: np.ndarray[tuple[int], np.dtype[np.intp]], rows: int
) -> np.ndarray[tuple[int, int], np.dtype[np.intp]]:
    """Return the rows before and behind each position, (N, 2)."""
    return np.stack([first_N - 1, first_N], 1).clip(0, rows - 1)


def vggish_rows_of_frames(rows_RD: Floats, frames: int, fps: float) -> Floats:
    """Return a vector for each frame, (N, D): the row of its 0.96 s, at the end the last one, zeros without rows."""
    if not len(rows_RD):
        return np.zeros((frames, rows_RD.shape[1]))
    # A hundred-millionth of a row more: 24 / 25 s is the start of row 1, and 0.96 / 0.96 may be less than 1.
    row_N = np.floor(np.arange(frames) / fps / VGGISH_ROW_S + 1e-8).astype(np.int64)
    return rows_RD[np.minimum(row_N, len(rows_RD) - 1)]
