"""Sound by mouth opening: runs, pauses, the clocks, short segments, and rows of audio features for frames."""

import numpy as np
import pytest
from avf_training.framewise.sampling import mouth
from avf_training.framewise.sampling.audio_rows import hubert_rows_of_frames, vggish_rows_of_frames
from avf_training.framewise.sampling.voice_segments import (
    expression_labels,
    extraction_segments,
    label_positions,
    segment_sound,
    training_segments,
)
from hypothesis import given
from hypothesis import strategies as st

RATES = st.sampled_from([6.0, 12.5, 20.38, 23.976, 25.0, 29.97, 30.0, 59.94, 60.0])


def test_no_open_frame_gives_no_segment() -> None:
    assert training_segments(np.zeros(300, bool), np.ones(300, bool), 30) == []
    assert training_segments(np.zeros(0, bool), np.zeros(0, bool), 30) == []
    assert extraction_segments(0, 30) == []


def test_a_video_without_any_valid_label_gives_no_segment() -> None:
    assert training_segments(np.ones(300, bool), np.zeros(300, bool), 30) == []


@pytest.mark.parametrize(("pause", "lengths"), [(14, [134]), (15, [60, 60])])
def test_a_pause_below_half_a_second_is_bridged(pause: int, lengths: list[int]) -> None:
    open_N = np.ones(120 + pause, bool)
    open_N[60 : 60 + pause] = False
    segments = training_segments(open_N, np.ones(120 + pause, bool), 30)
    runs = {row for segment in segments for row in segment.rows.tolist()}
    assert len(runs) == sum(lengths)
    assert max(len(segment.rows) for segment in segments) == min(120, lengths[0])


def test_runs_below_two_seconds_are_skipped_and_short_ones_repeat_their_last_label() -> None:
    assert training_segments(np.ones(59, bool), np.ones(59, bool), 30) == []
    (segment,) = training_segments(np.ones(60, bool), np.ones(60, bool), 30)
    assert len(segment.rows) == 60
    assert segment.label_rows.tolist() == [*range(0, 60, 6), *[59] * 10]


def test_a_short_segment_of_expressions_is_filled_with_the_most_frequent() -> None:
    labels = np.array([3] * 20 + [5] * 40)
    (segment,) = training_segments(np.ones(60, bool), np.ones(60, bool), 30)
    assert expression_labels(labels, segment).tolist() == [3, 5, 5, 5]


def test_our_clock_is_exact_and_the_authors_is_a_frame_late_and_drifts() -> None:
    ours, theirs = (
        training_segments(np.ones(2100, bool), np.ones(2100, bool), 20.38, clock=clock)
        for clock in ("exact", "rounded_fps")
    )
    assert ours[0].start_s == 0
    assert theirs[0].start_s == 1 / 20
    assert [segment.first_frame for segment in ours] == [segment.first_frame for segment in theirs]
    last = ours[-1]
    assert last.start_s == pytest.approx((last.first_frame - 1) / 20.38)
    assert theirs[-1].start_s - last.start_s > 1.8


@given(rows=st.integers(1, 600), fps=RATES, seed=st.integers(0, 99))
def test_segments_are_runs_of_usable_frames_with_20_labels(rows: int, fps: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    open_N, valid_N = random.random(rows) < 0.95, random.random(rows) < 0.98
    for segments in (training_segments(open_N, valid_N, fps), extraction_segments(rows, fps)):
        assert len({(segment.first_frame, len(segment.rows)) for segment in segments}) == len(segments)
        for segment in segments:
            assert (np.diff(segment.rows) == 1).all()
            assert len(segment.label_rows) == 20
            assert segment.end_s > segment.start_s >= 0
    assert all(valid_N[segment.rows].all() for segment in training_segments(open_N, valid_N, fps))
    covered = {row for segment in extraction_segments(rows, fps) for row in segment.rows.tolist()}
    assert covered == set(range(rows))


def test_label_positions_round_halves_up() -> None:
    assert label_positions(24)[:6].tolist() == [0, 5, 10, 14, 19, 24]
    assert label_positions(25).tolist() == list(range(0, 100, 5))
    assert label_positions(6).max() < 24


@pytest.mark.parametrize("samples", [0, 1000, 64_000, 200_000])
def test_sound_is_padded_with_zeros_to_four_seconds(samples: int) -> None:
    (segment, *_) = extraction_segments(300, 25)
    wave = np.ones(samples, np.float32)
    sound = segment_sound(wave, segment)
    assert len(sound) == 64_000
    assert sound.sum() == min(samples, 64_000)


def test_mouth_area_of_a_square_and_the_relative_rule() -> None:
    landmarks = np.zeros((2, 68, 2))
    x = np.arange(5.0)
    for upper, lower, at_x in zip(mouth.DLIB_LIPS.upper, mouth.DLIB_LIPS.lower, x, strict=True):
        landmarks[:, upper] = landmarks[:, lower] = [at_x, 1.0]
    landmarks[1, list(mouth.DLIB_LIPS.lower)[1:-1], 1] = 0.0
    assert mouth.mouth_area(landmarks, mouth.DLIB_LIPS) == pytest.approx([0, 3])
    area = np.r_[np.zeros(60), np.ones(60)]
    open_N = mouth.open_mouth(area)
    assert not open_N[:60].any()
    assert open_N[-1]
    assert not mouth.open_mouth(np.ones(29)).any()
    assert not mouth.open_mouth(np.full(100, 0.25)).any()


@pytest.mark.parametrize("fps", [6.0, 23.976, 30.0, 60.0])
def test_audio_rows_follow_the_clock_of_frames(fps: float) -> None:
    rows = np.arange(200.0)[:, None]  # four seconds of HuBERT: row r has the centre (320 r + 200) / 16000 s
    frames = int(4 * fps)
    ours = hubert_rows_of_frames(rows, frames, fps)[:, 0]
    for frame in range(1, frames - 1):
        inside = [r for r in range(200) if frame / fps <= (320 * r + 200) / 16000 < (frame + 1) / fps]
        nearest = int(np.abs((320 * rows[:, 0] + 200) / 16000 - frame / fps).argmin())
        assert ours[frame] == pytest.approx(np.mean(inside) if inside else nearest)


def test_vggish_rows_change_every_96_hundredths_and_the_last_is_repeated() -> None:
    rows = np.arange(3.0)[:, None]
    ours = vggish_rows_of_frames(rows, 200, 25)[:, 0]
    assert ours[[0, 23, 24, 47, 48, 199]].tolist() == [0, 0, 1, 1, 2, 2]


def test_absent_audio_is_zeros() -> None:
    empty = np.zeros((0, 5))
    assert not hubert_rows_of_frames(empty, 7, 30).any()
    assert vggish_rows_of_frames(empty, 7, 30).shape == (7, 5)
