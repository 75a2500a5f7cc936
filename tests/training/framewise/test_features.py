"""Functionals of windows, their labels, and normalizations."""

import numpy as np
import pytest
from avf_training.framewise.sampling.functionals import (
    frequent_label_of_windows,
    mean_label_of_windows,
    window_functionals,
)
from avf_training.framewise.sampling.normalization import ScaleKind, apply_scale, fit_scale


def test_functionals_of_two_seconds_with_a_short_last_window() -> None:
    features = np.arange(61.0)[:, None] * [1, -1]
    windows = window_functionals(features, 10)
    assert windows.starts_K.tolist() == [0, 20, 40, 60]
    assert windows.values_KF[0].tolist() == [9.5, -9.5, 0, -19, 19, 0]
    assert windows.values_KF[3].tolist() == [60, -60] * 3
    assert windows.middle_s_K.tolist() == [1, 3, 5, 6.05]
    assert window_functionals(features, 10, functionals=("mean", "max")).values_KF.shape == (4, 4)
    assert window_functionals(features[:0], 10).values_KF.shape == (0, 6)


def test_labels_of_windows_are_those_of_valid_frames() -> None:
    labels = np.array([[0.2, 0.4], [-5, 0.4], [0.4, 0.6], [-5, -5], [0.1, -5]])
    means = mean_label_of_windows(labels, np.array([0, 3]))
    assert means[0] == pytest.approx([0.3, 0.5])
    assert np.isnan(means[1]).all()
    assert frequent_label_of_windows(np.array([3, 1, 1, 3, -1, -1]), np.array([0, 4])).tolist() == [1, -1]


@pytest.mark.parametrize("kind", ["none", "min_max", "standard"])
def test_a_constant_feature_stays_finite(kind: ScaleKind) -> None:
    features = np.array([[1.0, 0.1], [3.0, 0.1], [2.0, 0.1]])
    scaled = apply_scale(features, fit_scale(features, kind))
    assert np.isfinite(scaled).all()
    if kind == "min_max":
        assert scaled[:, 0].tolist() == [0, 1, 0.5]
    if kind == "standard":
        assert scaled[:, 0].mean() == pytest.approx(0)
        assert scaled[:, 0].std() == pytest.approx(1)
    assert kind == "none" or not scaled[:, 1].any()


def test_a_scale_of_the_training_set_maps_another_video_by_the_same_line() -> None:
    scale = fit_scale(np.array([[0.0], [2.0]]), "min_max")
    assert apply_scale(np.array([[4.0]]), scale).tolist() == [[2.0]]
