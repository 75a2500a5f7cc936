"""Dirichlet fusion, stacked forests and the kernel ELM: reproducible, honest about leaks, equal where they must be."""

import numpy as np
import numpy.typing as npt
import pytest
from avf_shards.errors import UserError
from avf_training.evaluation.metrics import Floats
from avf_training.framewise.ensemble import dirichlet_fusion, forest_stacking, kernel_elm
from avf_training.framewise.ensemble.kernel_elm import ElmSettings
from avf_training.framewise.postprocessing.class_runs import majority_filter, merge_short_runs
from hypothesis import given
from hypothesis import strategies as st


def test_drawn_weights_are_shares_and_the_seed_gives_them_once_more() -> None:
    weights = dirichlet_fusion.draw_weights(3, 2, matrices=50, seed=4)
    assert weights.shape == (50, 3, 2)
    np.testing.assert_allclose(weights.sum(1), 1)
    assert (weights == dirichlet_fusion.draw_weights(3, 2, matrices=50, seed=4)).all()
    assert (weights != dirichlet_fusion.draw_weights(3, 2, matrices=50, seed=5)).any()


def test_the_best_matrix_stays_with_its_score() -> None:
    truth = np.linspace(-1, 1, 50)[:, None]
    predictions = np.stack([truth, -truth])

    def closeness(fused: Floats) -> float:
        return -float(np.abs(fused - truth).mean())

    fused = dirichlet_fusion.fit_dirichlet_fusion(predictions, closeness, matrices=200, seed=3)
    assert fused.weights_MD[0, 0] > 0.95
    assert fused.score == closeness(dirichlet_fusion.fuse_models(predictions, fused.weights_MD))
    assert (fused.seed, fused.matrices) == (3, 200)


def test_uncertain_rows_become_zeros_and_a_certain_row_with_a_zero_stays() -> None:
    probabilities = np.array([[0.125] * 8, [1, 0, 0, 0, 0, 0, 0, 0]])
    filtered = dirichlet_fusion.zero_uncertain_rows(probabilities)
    assert not filtered[0].any()
    assert (filtered[1] == probabilities[1]).all()


def test_the_grouped_score_shows_the_leak_of_the_out_of_bag_score() -> None:
    """Frames of a video are alike and say nothing about other videos."""
    random = np.random.default_rng(0)
    videos = [f"v{index // 40}" for index in range(400)]
    truth = np.repeat(random.uniform(-1, 1, (10, 1)), 40, 0) + random.normal(scale=0.02, size=(400, 1))
    inputs = np.repeat(random.uniform(-1, 1, (10, 3)), 40, 0) + random.normal(scale=0.02, size=(400, 3))
    stacked = forest_stacking.stack_regressors([inputs], truth, videos, trees=(20,))
    assert stacked.out_of_bag[0] > 0.9
    assert stacked.grouped < 0.5
    assert forest_stacking.predict_stacked(stacked, [inputs]).shape == (400, 1)


def test_one_video_has_no_grouped_score() -> None:
    labels = np.arange(60) % 3
    probabilities = np.eye(8)[labels] + np.random.default_rng(0).normal(scale=0.1, size=(60, 8))
    stacked = forest_stacking.stack_classifier(probabilities, labels, ["v"] * 60, trees=(10,))
    assert np.isnan(stacked.grouped)
    assert len(stacked.tried) == 2
    grouped = forest_stacking.stack_classifier(probabilities, labels, ["v", "w"] * 30, trees=(10,)).grouped
    assert 0.3 < grouped <= 3 / 8


def _data(rows: int = 60, features: int = 5) -> tuple[Floats, Floats]:
    random = np.random.default_rng(7)
    x = random.normal(size=(rows, features))
    return x, np.stack([np.sin(x[:, 0]), x[:, 1] * x[:, 2]], 1)


def test_the_machine_is_kernel_ridge_regression() -> None:
    from sklearn.kernel_ridge import KernelRidge

    x, targets = _data()
    machine = kernel_elm.fit_kernel_elm(x, targets, ElmSettings(penalty=10))
    reference = KernelRidge(alpha=0.1, kernel="rbf", gamma=1 / 5).fit(x, targets)
    np.testing.assert_allclose(kernel_elm.predict_kernel_elm(machine, x + 0.1), reference.predict(x + 0.1), atol=1e-10)


def test_float32_agrees_with_float64_and_stays_float32() -> None:
    x, targets = _data()
    double = kernel_elm.predict_kernel_elm(kernel_elm.fit_kernel_elm(x, targets, ElmSettings()), x)
    machine = kernel_elm.fit_kernel_elm(x.astype(np.float32), targets.astype(np.float32), ElmSettings())
    single = kernel_elm.predict_kernel_elm(machine, x.astype(np.float32))
    assert machine.beta_LT.dtype == single.dtype == np.float32
    np.testing.assert_allclose(single, double, atol=1e-4)


def test_with_all_rows_as_landmarks_nystroem_is_exact_and_with_few_it_is_near() -> None:
    x, targets = _data(200)
    exact = kernel_elm.predict_kernel_elm(kernel_elm.fit_kernel_elm(x, targets, ElmSettings()), x)
    everything = kernel_elm.fit_kernel_elm(x, targets, ElmSettings(exact_rows=10, landmarks=200))
    assert not everything.exact
    np.testing.assert_allclose(kernel_elm.predict_kernel_elm(everything, x), exact, atol=1e-6)
    some = kernel_elm.fit_kernel_elm(x, targets, ElmSettings(exact_rows=10, landmarks=100))
    assert len(some.rows_LD) == 100
    assert np.abs(kernel_elm.predict_kernel_elm(some, x) - exact).mean() < 0.1 * np.abs(exact).mean() + 0.02


def test_a_linear_kernel_is_exact_above_the_limit_too() -> None:
    x, targets = _data(200)
    small, large = (
        kernel_elm.fit_kernel_elm(x, targets, ElmSettings(kernel="linear", exact_rows=rows)) for rows in (1000, 10)
    )
    assert small.exact
    assert large.exact
    assert len(large.rows_LD) == 5
    np.testing.assert_allclose(
        kernel_elm.predict_kernel_elm(large, x), kernel_elm.predict_kernel_elm(small, x), atol=1e-9
    )


def test_row_weights_count_in_every_way_of_solving() -> None:
    x, targets = _data(120)
    weights = np.linspace(0.1, 2, 120)
    exact = kernel_elm.fit_kernel_elm(x, targets, ElmSettings(), row_weights_N=weights)
    landmarks = kernel_elm.fit_kernel_elm(x, targets, ElmSettings(exact_rows=10, landmarks=120), row_weights_N=weights)
    plain = kernel_elm.fit_kernel_elm(x, targets, ElmSettings())
    ours = kernel_elm.predict_kernel_elm(exact, x)
    np.testing.assert_allclose(kernel_elm.predict_kernel_elm(landmarks, x), ours, atol=1e-6)
    assert np.abs(kernel_elm.predict_kernel_elm(plain, x) - ours).max() > 0.01


def test_classes_by_one_hot_targets_and_their_sizes() -> None:
    labels = np.array([0, 0, 0, 2])
    assert kernel_elm.one_hot(labels, 3)[3].tolist() == [0, 0, 1]
    assert kernel_elm.inverse_class_sizes(labels).tolist() == pytest.approx([1 / 3] * 3 + [1])


def test_the_best_penalty_wins_and_of_equal_ones_the_smallest() -> None:
    x, targets = _data()
    best, scores = kernel_elm.choose_penalty(
        lambda penalty: kernel_elm.fit_kernel_elm(x, targets, ElmSettings(penalty=penalty)),
        lambda machine: -float(np.abs(kernel_elm.predict_kernel_elm(machine, x) - targets).mean()),
    )
    assert best == 1e3
    assert scores[best] == max(scores.values())
    machine = kernel_elm.fit_kernel_elm(x, targets, ElmSettings())
    assert kernel_elm.choose_penalty(lambda _: machine, lambda _: float("nan"))[0] == 1e-3


def test_nan_and_a_singular_matrix_are_refused_in_a_sentence() -> None:
    x, targets = _data()
    with pytest.raises(UserError, match="nan or infinity"):
        kernel_elm.fit_kernel_elm(np.full_like(x, np.nan), targets, ElmSettings())
    # Whole numbers, whose products no processor rounds: the second pivot is 1 - 1.
    repeated = np.repeat(np.eye(2, 5, dtype=np.float32), 30, 0)
    with pytest.raises(UserError, match="C = 1e\\+12 is singular in float32"):
        kernel_elm.fit_kernel_elm(repeated, targets[:60], ElmSettings(penalty=1e12))


LABELS = st.lists(st.integers(0, 7), min_size=1, max_size=60).map(lambda labels: np.array(labels, np.int64))


@given(labels=LABELS, shortest=st.integers(1, 10))
def test_no_run_below_the_shortest_is_left_but_a_single_one(labels: npt.NDArray[np.int64], shortest: int) -> None:
    merged = merge_short_runs(labels, shortest)
    assert len(merged) == len(labels)
    edges = np.flatnonzero(np.diff(merged)) + 1
    lengths = np.diff(np.r_[0, edges, len(merged)])
    assert len(lengths) == 1 or lengths.min() >= shortest
    assert (merge_short_runs(merged, shortest) == merged).all()


def test_a_short_run_goes_to_the_longer_neighbour() -> None:
    labels = np.array([1, 1, 1, 4, 2, 2, 2, 2])
    assert merge_short_runs(labels, 2).tolist() == [1, 1, 1, 2, 2, 2, 2, 2]
    assert merge_short_runs(labels, 1).tolist() == labels.tolist()
    assert merge_short_runs(np.array([], np.int64), 3).tolist() == []


def test_the_majority_of_a_window_and_its_ties() -> None:
    assert majority_filter(np.array([0, 0, 5, 0, 0]), 3).tolist() == [0, 0, 0, 0, 0]
    assert majority_filter(np.array([1, 1, 2, 2]), 2).tolist() == [1, 1, 2, 2]
    assert majority_filter(np.array([3, 1, 2]), 1).tolist() == [3, 1, 2]
