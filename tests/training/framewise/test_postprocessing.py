"""Averages, interpolation, smoothing and votes: means are kept, edges are told apart, ties follow their rule."""

import numpy as np
import pytest
from avf_training.evaluation.metrics import Floats
from avf_training.framewise.postprocessing import smoothing, timeline, votes
from avf_training.framewise.postprocessing.overlaps import Repeated, merge_overlaps
from avf_training.framewise.sampling.frame_rate import rounded_frame_times
from avf_training.framewise.sampling.fusion_clips import cut_clips
from hypothesis import given
from hypothesis import strategies as st

RATES = st.floats(6, 60)
REPEATED: tuple[Repeated, ...] = ("mean", "last")
KEEPING_EDGES: tuple[smoothing.GaussianEdges, ...] = ("reflect", "renormalise")
"""Those that leave a constant as it is."""
SIGMAS = st.sampled_from([0.0, 1.0, 5.0, 25.0])


@given(rows=st.integers(1, 400), stride=st.sampled_from([30, 50, 100]))
def test_clips_that_agree_give_each_frame_its_own_value(rows: int, stride: int) -> None:
    truth = np.linspace(-1, 1, rows)[:, None]
    clips = cut_clips(np.arange(1, rows + 1), stride=stride)
    for several in REPEATED:
        merged, covered = merge_overlaps(
            truth[clips.rows_KT],
            clips.rows_KT,
            rows,
            valid_KT=clips.valid_KT,
            several=several,
        )
        assert covered.all()
        np.testing.assert_allclose(merged, truth, atol=1e-15)


def test_overlapping_clips_are_averaged_or_the_last_one_counts() -> None:
    rows_KT = np.array([[0, 1, 2], [2, 3, -1]])
    predictions = np.arange(6.0).reshape(2, 3, 1)
    mean, covered = merge_overlaps(predictions, rows_KT, 5)
    assert mean[:4, 0].tolist() == [0, 1, 2.5, 4]
    assert covered.tolist() == [True, True, True, True, False]
    assert np.isnan(mean[4, 0])
    assert merge_overlaps(predictions, rows_KT, 5, several="last")[0][2, 0] == 3


@given(fps=RATES, frames=st.integers(1, 300))
def test_the_grid_keeps_predictions_at_their_times(fps: float, frames: int) -> None:
    times_s, values = timeline.average_same_times(
        rounded_frame_times(np.arange(1, frames + 1), fps), np.linspace(-1, 1, frames)[:, None]
    )
    grid_s, on_grid = timeline.interpolate_to_grid(times_s, values)
    assert grid_s[0] == 0
    assert len(grid_s) == round(times_s[-1] * 100) + 1
    label_times_s, at_labels = timeline.grid_at_labels(grid_s, on_grid, times_s)
    np.testing.assert_allclose(label_times_s, times_s, atol=1e-9)
    np.testing.assert_allclose(at_labels, values, atol=1e-9)


def test_before_the_first_prediction_its_value_holds_and_behind_the_last_nothing_is_scored() -> None:
    grid_s, on_grid = timeline.interpolate_to_grid(np.array([0.1, 0.2]), np.array([[1.0], [3.0]]))
    assert on_grid[:11, 0].tolist() == [1.0] * 11
    label_times, _ = timeline.grid_at_labels(grid_s, on_grid, np.array([0.05, 0.15, 0.15, 0.3]))
    assert label_times.tolist() == [0.05, 0.15]
    straight = timeline.interpolate_to_times(np.array([0.1, 0.2]), np.array([[1.0], [3.0]]), np.array([0.0, 0.15, 0.9]))
    assert straight[:, 0].tolist() == pytest.approx([1, 2, 3])


def test_predictions_are_cut_or_the_last_is_repeated() -> None:
    values = np.array([[1.0], [2.0]])
    assert timeline.fit_to_length(values, 1)[:, 0].tolist() == [1]
    assert timeline.fit_to_length(values, 4)[:, 0].tolist() == [1, 2, 2, 2]
    with pytest.raises(ValueError, match="no prediction"):
        timeline.fit_to_length(values[:0], 4)


@given(rows=st.integers(1, 120), fps=RATES, constant=st.floats(-1, 1), sigma=SIGMAS)
def test_smoothing_leaves_a_constant_as_it_is(rows: int, fps: float, constant: float, sigma: float) -> None:
    """Also where the window is longer than the video."""
    values = np.full((rows, 2), constant)
    np.testing.assert_allclose(smoothing.smooth_hamming(values, smoothing.hamming_size(fps)), values, atol=1e-12)
    for edges in KEEPING_EDGES:
        smoothed = smoothing.smooth_gaussian(values, sigma, edges=edges)
        np.testing.assert_allclose(smoothed, values, atol=1e-12)


def test_zeros_outside_pull_both_ends_towards_zero() -> None:
    values = np.ones((40, 1))
    for smoothed in (
        smoothing.smooth_hamming(values, 15, edges="zero"),
        smoothing.smooth_gaussian(values, 3, edges="zero"),
    ):
        assert smoothed[0, 0] < 0.7
        assert smoothed[-1, 0] < 0.7
        assert smoothed[20, 0] == pytest.approx(1)


def test_inside_the_video_the_edges_make_no_difference() -> None:
    values = np.random.default_rng(0).normal(size=(200, 1))
    smoothed = [smoothing.smooth_gaussian(values, 5, edges=edges)[30:170] for edges in (*KEEPING_EDGES, "zero")]
    np.testing.assert_allclose(smoothed[1], smoothed[0], atol=1e-12)
    np.testing.assert_allclose(smoothed[2], smoothed[0], atol=1e-12)


@pytest.mark.parametrize(
    ("fps", "ours", "authors"), [(30, 15, 15), (29.97, 15, 14), (23.976, 13, 11), (6, 3, 3), (1, 1, 1)]
)
def test_our_windows_are_half_a_second_and_odd(fps: float, ours: int, authors: int) -> None:
    assert smoothing.hamming_size(fps) == ours
    assert smoothing.authors_hamming_size(fps) == authors


def test_the_best_sigma_wins_and_of_equal_ones_the_narrowest() -> None:
    random = np.random.default_rng(1)
    truth = np.sin(np.arange(400) / 40)[:, None]
    videos = [truth + random.normal(scale=0.5, size=truth.shape) for _ in range(2)]

    def closeness(smoothed: list[Floats]) -> float:
        return -float(np.mean([np.abs(video - truth).mean() for video in smoothed]))

    choice = smoothing.choose_sigma(videos, closeness)
    assert choice.sigma_frames > 1
    assert choice.scores[choice.sigma_frames] == max(choice.scores.values())
    assert set(choice.scores) == set(smoothing.SIGMA_GRID)
    assert smoothing.choose_sigma(videos, lambda _: 1.0).sigma_frames == 0
    assert smoothing.choose_sigma(videos, lambda v: float("nan") if v[0][0] == videos[0][0] else 0.0).sigma_frames == 1


def test_ties_of_expressions_follow_their_rule() -> None:
    labels = np.array([[5, 1], [2, 1], [2, 0], [5, 0]])
    probabilities = np.zeros((4, 2, 8))
    probabilities[:, 0, 5], probabilities[:, 0, 2] = 0.4, 0.3
    probabilities[:, 1, :2] = 0.5
    assert votes.vote_expressions(labels, ties="lowest").tolist() == [2, 0]
    assert votes.vote_expressions(labels, ties="first_model").tolist() == [5, 1]
    assert votes.vote_expressions(labels, probabilities_MNC=probabilities).tolist() == [5, 0]
    with pytest.raises(ValueError, match="need the models' probabilities"):
        votes.vote_expressions(labels)


def test_ties_of_action_units_follow_their_rule() -> None:
    labels = np.array([[[1, 0, 1]], [[0, 0, 1]]])
    probabilities = np.array([[[0.9, 0.2, 0.9]], [[0.3, 0.1, 0.9]]])
    assert votes.vote_action_units(labels, ties="off").tolist() == [[0, 0, 1]]
    assert votes.vote_action_units(labels, ties="on").tolist() == [[1, 0, 1]]
    assert votes.vote_action_units(labels, probabilities_MNA=probabilities).tolist() == [[1, 0, 1]]
    with pytest.raises(ValueError, match="need the models' probabilities"):
        votes.vote_action_units(labels)


def test_means_of_values_are_limited() -> None:
    assert votes.mean_values(np.array([[[2.0]], [[1.0]]])).tolist() == [[1.0]]
