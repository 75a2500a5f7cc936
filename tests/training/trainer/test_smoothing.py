"""Smoothed curves start at the data, follow a line to both ends, and do not lag behind a falling loss."""

import numpy as np
import pytest
from avf_training.trainer.smoothing import smooth_curve


def test_a_line_stays_a_line_to_both_ends() -> None:
    values = [5 - 0.01 * step for step in range(300)]
    indices, smoothed = smooth_curve(values)
    assert indices == list(range(300))
    assert smoothed == pytest.approx(values)


def test_a_falling_loss_starts_at_its_first_value_and_is_not_lagged() -> None:
    clean = 1 + 3 * np.exp(-np.arange(2000) / 60)
    noisy = clean + 0.1 * np.random.default_rng(0).standard_normal(2000)
    indices, smoothed = smooth_curve(noisy.tolist())
    assert smoothed[0] == noisy[0]
    errors = np.abs(np.array(smoothed) - clean[indices])
    assert errors[50:].max() < 0.15
    assert errors[100:].mean() < 0.03, "a third of the noise at most"
    assert len(indices) == 400
    assert indices[-1] == 1999


def test_few_values_are_kept() -> None:
    assert smooth_curve([]) == ([], [])
    assert smooth_curve([3.0, 1.0]) == ([0, 1], [3.0, 1.0])
