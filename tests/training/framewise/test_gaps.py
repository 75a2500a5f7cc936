"""Frames that are missing from a video: no clip, window, functional or smoothing joins what lies before and behind."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from avf_training.framewise.labels.label_track import LabelTrack
from avf_training.framewise.labels.tasks import find_task
from avf_training.framewise.postprocessing.smoothing import (
    gaussian_reach,
    smooth_by_numbers,
    smooth_gaussian,
    smooth_hamming,
)
from avf_training.framewise.sampling.functionals import window_functionals
from avf_training.framewise.sampling.fusion_clips import cut_clips
from avf_training.framewise.sampling.stretches import nearest_rows, split_at_gaps
from avf_training.framewise.sampling.windows import PADDING_ROW, evaluation_windows, training_windows
from avf_training.framewise.tracks.identity import ExtractorIdentity, TrackSubject
from avf_training.framewise.training.frame_network import FrameModelSpec, FrameNetwork
from avf_training.framewise.training.frame_prediction import predict_frames
from avf_training.framewise.training.frame_recipe import FrameRecipe
from avf_training.framewise.training.joined_tracks import JoinedTracks
from avf_training.framewise.training.window_data import (
    choose_rows,
    cut_evaluation_windows,
    cut_training_windows,
)
from hypothesis import given, settings
from hypothesis import strategies as st

RATES = st.sampled_from([6.0, 7.4, 12.5, 20.38, 23.976, 25.0, 29.97, 30.0, 50.0, 60.0])
STRETCHES = st.lists(st.tuples(st.integers(1, 250), st.integers(0, 600)), min_size=1, max_size=4)
"""Frames of each stretch, and frames that are missing behind it."""
LENGTHS = st.sampled_from([5, 10, 30, 100])
RECIPE = FrameRecipe(model="temporal_v5", visual=("looks",), window=10, threads=1, hidden=(8, 8, 4))
SUBJECT = TrackSubject(source="lab", video_id="1")


def number_frames(stretches: list[tuple[int, int]]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    numbers, start = [], 1
    for frames, missing in stretches:
        numbers += range(start, start + frames)
        start += frames + missing
    return np.array(numbers, np.int64)


def make_tracks(numbers: Any, fps: float, features: Any = None) -> JoinedTracks:
    if features is None:
        features = np.random.default_rng(0).standard_normal((len(numbers), 8)).astype(np.float32)
    return JoinedTracks(
        subject=SUBJECT,
        fps=fps,
        frames_N=numbers,
        times_s_N=(numbers - 1) / fps,
        streams=(features,),
        inputs_sha256="ab",
    )


def make_labels(frames: int, fps: float) -> LabelTrack:
    numbers = np.arange(1, frames + 1)
    return LabelTrack(
        subject=SUBJECT,
        task=find_task("va"),
        split="train",
        group="1",
        person=None,
        scene=None,
        fps=fps,
        frames_N=numbers,
        times_s_N=(numbers - 1) / fps,
        values_NK=np.zeros((frames, 2), np.float32),
    )


def make_network(model: Any) -> FrameNetwork:
    torch.manual_seed(0)
    identities = {"looks": ExtractorIdentity.from_settings("looks", {}, "ab" * 32)}
    recipe = replace(RECIPE, model=model)
    return FrameNetwork(FrameModelSpec(recipe=recipe, task=find_task("va"), identities=identities, widths=(8,))).eval()


@given(stretches=STRETCHES, length=LENGTHS, share=st.sampled_from([None, 1, 2, 3]))
def test_a_clip_is_of_the_frames_that_follow_its_first_and_every_frame_is_in_one(
    stretches: list[tuple[int, int]], length: int, share: int | None
) -> None:
    numbers = number_frames(stretches)
    clips = cut_clips(numbers, length=length, stride=None if share is None else max(1, length // share))
    assert clips.valid_KT.any(1).all(), "no clip is empty"
    assert set(clips.rows_KT[clips.valid_KT].tolist()) == set(range(len(numbers)))
    for rows_T, valid_T in zip(clips.rows_KT, clips.valid_KT, strict=True):
        positions = np.flatnonzero(valid_T)
        assert (numbers[rows_T[valid_T]] - positions == numbers[rows_T[valid_T][0]] - positions[0]).all()
        assert np.ptp(numbers[rows_T[valid_T]]) < length


def test_a_clip_without_a_gap_is_as_before_and_a_frame_far_away_costs_nothing() -> None:
    assert cut_clips(np.arange(1, 251)).rows_KT[:, [0, -1]].tolist() == [[0, 99], [100, 199], [150, 249]]
    clips = cut_clips(np.array([1, 2, 10**12]), length=100)
    assert clips.rows_KT[clips.valid_KT].tolist() == [0, 1, 2]


@given(stretches=STRETCHES, length=st.sampled_from([5, 10, 30]), step=st.integers(1, 12))
def test_a_window_to_score_has_no_gap_and_every_row_is_in_one(
    stretches: list[tuple[int, int]], length: int, step: int
) -> None:
    numbers = number_frames(stretches) * step
    windows = evaluation_windows(numbers, length)
    assert set(windows.reshape(-1).tolist()) - {PADDING_ROW} == set(range(len(numbers)))
    usual = np.bincount(np.diff(numbers)).argmax() if len(numbers) > 1 else 1
    for window in windows:
        rows = window[window != PADDING_ROW]
        assert (window[: length - len(rows)] == PADDING_ROW).all(), "padding is in front"
        assert (np.diff(rows) == 1).all()
        assert np.diff(numbers[rows]).max(initial=0) <= 1.5 * usual


@settings(max_examples=50, deadline=None)
@given(
    stretches=STRETCHES,
    fps=RATES,
    labels=st.integers(1, 900),
    model=st.sampled_from(["temporal_v1", "temporal_v4", "temporal_v6", "cross_attention", "fusion_transformer"]),
)
def test_what_is_trained_and_scored_on_crosses_no_gap(
    stretches: list[tuple[int, int]], fps: float, labels: int, model: Any
) -> None:
    """Labels are longer or shorter than the frames, which have gaps."""
    visual, audio = (("a", "b"), ("s",)) if model == "cross_attention" else (("looks",), ())
    recipe = replace(RECIPE, model=model, visual=visual, audio=audio)
    numbers = number_frames(stretches)
    video = choose_rows(make_tracks(numbers, fps), make_labels(labels, fps), recipe)
    for windows in (
        cut_training_windows(video, recipe, recipe.options),
        cut_evaluation_windows(video.frames_N, recipe, recipe.options),
    ):
        for rows_T, valid_T in zip(windows.rows_VT, windows.valid_VT, strict=True):
            if model == "fusion_transformer":
                assert np.ptp(video.frames_N[rows_T[valid_T]]) < recipe.window
            elif len(video.frames_N) > 2:
                steps = np.diff(video.frames_N[rows_T[valid_T]])
                usual = np.bincount(np.diff(video.frames_N)).argmax()
                assert steps.max(initial=0) <= 1.5 * max(usual, steps.min(initial=usual))


def test_rows_more_than_a_second_apart_are_no_window_to_train_on() -> None:
    evenly = np.arange(1, 3000, 60)
    assert len(training_windows(evenly, 10, longest_step=30.0)) == 0
    assert len(training_windows(evenly, 10, longest_step=60.0)) > 0
    assert len(training_windows(evenly, 10, last="never")) > 0, "as the authors' code takes them"


@pytest.mark.parametrize("model", ["temporal_v1", "temporal_v4", "temporal_v5", "temporal_v8", "fusion_transformer"])
@pytest.mark.parametrize("fps", [6.0, 25.0, 60.0])
def test_what_lies_behind_a_gap_changes_no_prediction_before_it(model: str, fps: float) -> None:
    network = make_network(model)
    seconds = int(fps)
    numbers = number_frames([(4 * seconds, 30 * seconds), (5 * seconds, 0)])
    tracks = make_tracks(numbers, fps)
    before = slice(0, 4 * seconds)
    whole = predict_frames(network, tracks)
    assert np.isfinite(whole).all()
    changed = tracks.streams[0].copy()
    changed[4 * seconds :] = 7
    others = predict_frames(network, make_tracks(numbers, fps, changed))
    np.testing.assert_array_equal(others[before], whole[before])
    assert np.abs(others[4 * seconds :] - whole[4 * seconds :]).max() > 0
    alone = predict_frames(network, make_tracks(numbers[before], fps, tracks.streams[0][before]))
    if model != "fusion_transformer":  # whose last clip is counted from the end of the video
        np.testing.assert_allclose(alone, whole[before], atol=1e-6)


def test_a_missing_frame_here_and_there_is_no_gap_and_the_nearest_row_stands_for_it() -> None:
    numbers = np.array([1, 2, 4, 5, 6, 9, 10, 30])
    assert split_at_gaps(numbers, 5) == [slice(0, 7), slice(7, 8)]
    assert split_at_gaps(np.zeros(0, np.int64), 5) == []
    assert nearest_rows(numbers, np.array([1, 3, 7, 8, 10, 100])).tolist() == [0, 1, 4, 5, 6, 7]
    features = np.repeat(numbers[:7, None] / 10, 8, 1).astype(np.float32)
    assert np.isfinite(predict_frames(make_network("temporal_v5"), make_tracks(numbers[:7], 25.0, features))).all()


@given(stretches=STRETCHES, fps=RATES)
def test_functionals_are_of_two_seconds_of_frames(stretches: list[tuple[int, int]], fps: float) -> None:
    numbers = number_frames(stretches)
    features = numbers[:, None].astype(np.float64)
    windows = window_functionals(features, fps, functionals=("min", "max"), frame_numbers_N=numbers)
    assert (windows.values_KF[:, 1] - windows.values_KF[:, 0] < max(1, 2 * fps + 0.5)).all()
    assert windows.starts_K.tolist() == np.searchsorted(numbers, windows.values_KF[:, 0]).tolist()
    middles = windows.middle_s_K * fps + numbers[0] - 0.5
    assert middles == pytest.approx((windows.values_KF[:, 0] + windows.values_KF[:, 1]) / 2)
    contiguous = window_functionals(features, fps, frame_numbers_N=np.arange(7, 7 + len(features)))
    plain = window_functionals(features, fps)
    assert np.array_equal(contiguous.values_KF, plain.values_KF)
    assert np.array_equal(contiguous.middle_s_K, plain.middle_s_K)


@given(
    stretches=STRETCHES,
    sigma=st.sampled_from([0.0, 1.0, 5.0]),
    edges=st.sampled_from(["reflect", "renormalise", "zero"]),
    size=st.sampled_from([0, 3, 14, 15]),
)
def test_smoothing_joins_nothing_across_a_gap(
    stretches: list[tuple[int, int]], sigma: float, edges: Any, size: int
) -> None:
    numbers = number_frames([*stretches, (40, 100), (30, 0)])
    reach = size or gaussian_reach(sigma)

    def smooth(values: Any) -> Any:
        if size:
            return smooth_hamming(values, size, edges="zero" if edges == "zero" else "renormalise")
        return smooth_gaussian(values, sigma, edges=edges)

    values = np.random.default_rng(1).uniform(-1, 1, (len(numbers), 2))
    smoothed = smooth_by_numbers(values, numbers, smooth, reach)
    changed = values.copy()
    changed[-30:] = 100
    np.testing.assert_allclose(smooth_by_numbers(changed, numbers, smooth, reach)[:-30], smoothed[:-30], atol=1e-9)
    if edges != "zero":
        np.testing.assert_allclose(smooth_by_numbers(np.ones_like(values), numbers, smooth, reach), 1, atol=1e-9)
    whole = np.arange(5, 5 + len(values))
    assert np.array_equal(smooth_by_numbers(values, whole, smooth, reach), smooth(values))
