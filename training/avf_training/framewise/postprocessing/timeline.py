"""Predictions of windows at the times of labels. N predictions, D outputs, G grid points, L labels."""

import numpy as np

from avf_training.evaluation.metrics import Floats

GRID_HZ = 100


def average_same_times(times_s_N: Floats, predictions_ND: Floats) -> tuple[Floats, Floats]:
    """Return the distinct times, rising, and the mean prediction for each: (T,), (T, D)."""
    times_T, inverse_N, counts_T = np.unique(times_s_N, return_inverse=True, return_counts=True)
    sums_TD = np.zeros((len(times_T), predictions_ND.shape[1]))
    np.add.at(sums_TD, inverse_N.reshape(-1), predictions_ND)
    return times_T, sums_TD / counts_T[:, None]


def interpolate_to_grid(times_s_N: Floats, predictions_ND: Floats) -> tuple[Floats, Floats]:
    """Return a grid of hundredths of a second from 0 to the last time, and linear predictions on it: (G,), (G, D).

    Before the first time the first value holds.
    """
    points = round(float(times_s_N[-1]) * GRID_HZ) + 1
    grid_s_G = np.round(np.arange(points) / GRID_HZ, 2)
    return grid_s_G, interpolate_to_times(times_s_N, predictions_ND, grid_s_G)


def interpolate_to_times(times_s_N: Floats, predictions_ND: Floats, asked_s_L: Floats) -> Floats:
    """Return linear predictions at any times, (L, D); outside, the first and the last value hold."""
    return np.stack([np.interp(asked_s_L, times_s_N, column) for column in predictions_ND.T], 1)


def grid_at_labels(grid_s_G: Floats, predictions_GD: Floats, label_times_s_L: Floats) -> tuple[Floats, Floats]:
    """Return the grid points that are times of labels, each once: (T,), (T, D). Labels behind the grid have none."""
    is_label_G = np.isin(np.round(grid_s_G * GRID_HZ).astype(int), np.round(label_times_s_L * GRID_HZ).astype(int))
    return grid_s_G[is_label_G], predictions_GD[is_label_G]


def spread_over_windows(starts_s_K: Floats, ends_s_K: Floats, predictions_KSD: Floats) -> tuple[Floats, Floats]:
    """Return the mean predictions of windows with S steps at their rounded times: (T,), (T, D).

    The steps of a window lie evenly from its start to its end; a single one lies in its middle.
    """
    steps = predictions_KSD.shape[1]
    if steps == 1:
        times_KS = ((starts_s_K + ends_s_K) / 2)[:, None]
    else:
        times_KS = np.linspace(starts_s_K, ends_s_K, steps, axis=1)
    return average_same_times(np.round(times_KS, 2).reshape(-1), predictions_KSD.reshape(-1, predictions_KSD.shape[2]))


def fit_to_length(predictions_ND: Floats, rows: int) -> Floats:
    """Return the predictions cut to `rows`, or with the last one repeated: (rows, D). Raises ValueError for none."""
    if not len(predictions_ND):
        raise ValueError("there is no prediction to repeat")
    return predictions_ND[np.minimum(np.arange(rows), len(predictions_ND) - 1)]
