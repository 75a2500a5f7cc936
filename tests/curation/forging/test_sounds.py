"""Forged sounds are as long and as loud as before, and other where they must be, and nowhere else."""

import numpy as np
import pytest
from avf_curation.forging.sounds import delay, dub, match_level, replace_word, shift_pitch
from avf_curation.forging.takes import Floats

FRAME = 640


def make_tone(hz: float, frames: int = 100, level: float = 0.2) -> Floats:
    return np.asarray(level * np.sin(2 * np.pi * hz * np.arange(frames * FRAME) / 16_000))


def loudest_hz(samples_S: Floats) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples_S))) * 16_000 / len(samples_S))


def rms(samples_S: Floats) -> float:
    return float(np.sqrt(np.square(samples_S).mean()))


@pytest.mark.parametrize("semitones", [-4.0, 3.0, 5.0])
def test_the_pitch_moves_by_semitones(semitones: float) -> None:
    out_S = shift_pitch(make_tone(440), semitones)
    assert len(out_S) == 100 * FRAME
    assert loudest_hz(out_S) == pytest.approx(440 * 2 ** (semitones / 12), rel=0.01)
    assert rms(out_S) == pytest.approx(rms(make_tone(440)), rel=1e-6)


def test_late_sound_is_moved_by_frames() -> None:
    click_S = np.zeros(100 * FRAME)
    click_S[50 * FRAME] = 1
    assert np.argmax(delay(click_S, 8)) == 58 * FRAME
    assert np.argmax(delay(click_S, -6)) == 44 * FRAME


def test_a_word_is_replaced_in_its_stretch_alone() -> None:
    draw = np.random.default_rng(5)
    samples_S = draw.normal(0, 0.1, 100 * FRAME)
    samples_S[60 * FRAME : 80 * FRAME] *= 3  # the loudest speech is taken
    out_S = replace_word(samples_S, (30, 45), 14, draw)
    stretch = slice(30 * FRAME, 45 * FRAME)
    assert np.array_equal(np.delete(out_S, np.r_[stretch]), np.delete(samples_S, np.r_[stretch]))
    middle = slice(30 * FRAME + 160, 45 * FRAME - 160)
    assert abs(np.corrcoef(out_S[middle], samples_S[middle])[0, 1]) < 0.1
    assert rms(out_S[stretch]) == pytest.approx(rms(samples_S[stretch]), rel=0.05)


def test_a_word_needs_other_speech() -> None:
    with pytest.raises(ValueError, match="no 60 frames of other speech in 100 frames"):
        replace_word(make_tone(440), (20, 80), 14, np.random.default_rng(0))


def test_a_shorter_voice_is_repeated_and_as_loud() -> None:
    out_S = dub(make_tone(300), make_tone(500, frames=30, level=0.05), np.random.default_rng(0))
    assert len(out_S) == 100 * FRAME
    assert loudest_hz(out_S) == pytest.approx(500, rel=0.01)
    assert rms(out_S) == pytest.approx(rms(make_tone(300)), rel=1e-6)


def test_silence_stays_silence_and_nothing_clips() -> None:
    assert not match_level(np.zeros(10), make_tone(300)).any()
    loud_S = match_level(np.array([1.0, *np.zeros(99)]), np.full(100, 0.9))
    assert np.abs(loud_S).max() == 1
