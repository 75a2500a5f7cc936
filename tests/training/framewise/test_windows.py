"""Windows, alignment and clips over frame rates from 6 to 60, gaps, and labels longer and shorter than frames."""

import numpy as np
import pytest
from avf_shards.errors import UserError
from avf_training.framewise.rounding import round_half_away
from avf_training.framewise.sampling.alignment import align_labels
from avf_training.framewise.sampling.frame_rate import frame_step, reader_rows, rounded_frame_times
from avf_training.framewise.sampling.fusion_clips import cut_clips
from avf_training.framewise.sampling.windows import (
    PADDING_ROW,
    LastEvaluationWindow,
    LastTrainingWindow,
    evaluation_windows,
    extraction_windows,
    training_windows,
)
from hypothesis import given
from hypothesis import strategies as st

RATES = st.sampled_from([6.0, 7.5, 12.5, 15.0, 20.38, 22.5, 23.976, 24.0, 25.0, 29.97, 30.0, 50.0, 59.94, 60.0])
LAST_TRAINING_WINDOWS: tuple[LastTrainingWindow, ...] = ("append", "never")
LAST_EVALUATION_WINDOWS: tuple[LastEvaluationWindow, ...] = ("append", "overwrite")
LENGTHS = st.sampled_from([5, 10, 15, 20, 30, 40])
FRAMES = st.lists(st.integers(1, 400), min_size=1, max_size=300, unique=True).map(sorted)


def test_halves_are_rounded_away_from_zero_and_not_to_even() -> None:
    assert [round_half_away(value) for value in (0.5, 1.5, 2.5, 22.5, 2.4999, -1.5)] == [1, 2, 3, 23, 2, -2]
    assert frame_step(12.5) == 3
    assert frame_step(22.5) == 5


@pytest.mark.parametrize(("fps", "step"), [(6, 1), (1, 1), (15, 3), (23.976, 5), (25, 5), (29.97, 6), (60, 12)])
def test_the_reader_takes_about_five_frames_a_second(fps: float, step: int) -> None:
    assert reader_rows(100, fps).tolist() == list(range(0, 100, step))


@given(frames=FRAMES, labels=st.integers(1, 500), fps=RATES)
def test_every_label_has_a_row_or_is_counted_as_missing(frames: list[int], labels: int, fps: float) -> None:
    numbers = np.array(frames)
    times_s = rounded_frame_times(numbers, fps)
    aligned = align_labels(numbers, times_s, labels)
    assert len(aligned.frame_numbers) + aligned.missing_pictures == labels
    assert len(aligned.frame_numbers) - aligned.repeated + aligned.cut_pictures == len(frames)
    assert aligned.frame_numbers.max(initial=0) <= labels
    assert (np.diff(aligned.frame_numbers) > 0).all()
    assert (np.diff(aligned.times_s) >= 0).all()
    own = slice(0, len(aligned.frame_numbers) - aligned.repeated)
    assert (numbers[aligned.picture_rows[own]] == aligned.frame_numbers[own]).all()
    assert (aligned.picture_rows[own.stop :] == len(frames) - 1).all()


def test_labels_behind_the_last_frame_repeat_its_picture() -> None:
    aligned = align_labels(np.array([1, 2, 4]), np.array([0.04, 0.08, 0.16]), 6)
    assert aligned.picture_rows.tolist() == [0, 1, 2, 2, 2]
    assert aligned.frame_numbers.tolist() == [1, 2, 4, 5, 6]
    assert (aligned.repeated, aligned.cut_pictures, aligned.missing_pictures) == (2, 0, 1)
    assert align_labels(np.array([1]), np.array([0.2]), 3).times_s.tolist() == [0.2, 0.4, 0.6]


@pytest.mark.parametrize("numbers", [[], [0, 1], [2, 2], [3, 1]])
def test_pictures_without_a_rising_number_are_refused(numbers: list[int]) -> None:
    with pytest.raises(UserError):
        align_labels(np.array(numbers, np.int64), np.array(numbers, np.float64), 5)


@given(frames=FRAMES, length=LENGTHS)
def test_training_windows_have_no_gap_and_none_is_repeated(frames: list[int], length: int) -> None:
    numbers = np.array(frames)
    for last in LAST_TRAINING_WINDOWS:
        windows = training_windows(numbers, length, last=last)
        assert windows.shape[1] == length
        assert len({tuple(row) for row in windows.tolist()}) == len(windows)
        for window in windows:
            assert (np.diff(window) == 1).all()
            steps = np.diff(numbers[window])
            values, counts = np.unique(steps, return_counts=True)
            # Steps that are longer and shorter may cancel each other, as in the authors' code.
            assert steps.sum() == values[counts.argmax()] * (length - 1)


@given(frames=FRAMES, length=LENGTHS)
def test_evaluation_windows_reach_the_last_row(frames: list[int], length: int) -> None:
    numbers = np.array(frames)
    for last in LAST_EVALUATION_WINDOWS:
        windows = evaluation_windows(numbers, length, last=last)
        assert windows[-1, -1] == len(frames) - 1
        assert (windows >= PADDING_ROW).all()
        if last == "overwrite":
            assert (windows.min(1) >= 0).all() or len(frames) < length
            if len(frames) < length:
                assert windows.tolist() == [[PADDING_ROW] * (length - len(frames)) + list(range(len(frames)))]


@given(rows=st.integers(1, 400), length=LENGTHS)
def test_without_gaps_every_row_is_in_a_window_of_ours(rows: int, length: int) -> None:
    covered = set(evaluation_windows(np.arange(1, rows + 1), length).reshape(-1).tolist()) - {PADDING_ROW}
    assert covered == set(range(rows))
    in_training = set(training_windows(np.arange(1, rows + 1), length).reshape(-1).tolist())
    assert in_training == (set(range(rows)) if rows >= length else set())


def test_the_authors_last_window_leaves_rows_without_a_prediction() -> None:
    covered = set(evaluation_windows(np.arange(1, 40), 30, last="overwrite").reshape(-1).tolist())
    assert covered == set(range(9, 39))


def test_a_video_without_rows_has_no_window() -> None:
    empty = np.zeros(0, np.int64)
    assert len(evaluation_windows(empty, 10)) == len(training_windows(empty, 10)) == 0
    assert extraction_windows(0, 30, 10) == []
    assert len(cut_clips(empty).rows_KT) == 0


@given(rows=st.integers(1, 2000), fps=RATES, length=LENGTHS)
def test_extraction_windows_begin_with_the_first_row_and_come_near_the_last(rows: int, fps: float, length: int) -> None:
    windows = extraction_windows(rows, fps, length)
    step = frame_step(round_half_away(fps))
    assert windows[0][0] == 0
    assert rows - step <= windows[-1][-1] < rows
    assert all((np.diff(window) == step).all() for window in windows)


@given(rows=st.integers(1, 700), stride=st.sampled_from([None, 25, 50, 100]))
def test_clips_cover_every_frame_and_padding_is_masked(rows: int, stride: int | None) -> None:
    clips = cut_clips(np.arange(1, rows + 1), stride=stride)
    assert clips.rows_KT.shape == clips.valid_KT.shape == (len(clips.rows_KT), 100)
    assert set(clips.rows_KT[clips.valid_KT].tolist()) == set(range(rows))
    assert clips.valid_KT.all() == (rows >= 100)
    assert int(clips.valid_KT[0].sum()) == min(rows, 100)
