"""The silence stage finds pauses, splits long speech, and agrees with annotations (pyannote RTTM, SpeechBrain JSON)."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from avf_curation.demo.speech import speak
from avf_curation.detectors.librosa_split import split_silence
from avf_curation.recipe import load_recipe
from avf_curation.stages import silence
from avf_shards.timeline import Span
from support.curation_runs import make_recipe
from support.speech_truth import load_speech_truth, speech_f1

DEFAULT = make_recipe().defaults


LEAST = {"pyannote_two_speakers": 0.95, "speechbrain_vad_valid": 0.75}


@pytest.mark.real
@pytest.mark.parametrize("name", LEAST)
def test_speech_agrees_with_human_annotations(shared: Path, name: str) -> None:
    samples, speech_T = load_speech_truth(shared / "assets/audio")[name]
    assert speech_f1(samples, speech_T, load_recipe().defaults.silence) > LEAST[name]


def test_speech_and_silence_tile_the_span_and_match_the_pause() -> None:
    spoken = speak(250, 120, 3, pauses=((100, 150),))
    samples = np.round(spoken.samples * 32767).astype(np.int16)
    stretches = silence.measure(Span(40, 290), samples, split_silence, DEFAULT.silence)
    assert [s.span.start_frame for s in stretches[1:]] == [s.span.stop_frame for s in stretches[:-1]]
    pause = [s.span for s in stretches if not s.speech and s.span.frames > 25]
    assert len(pause) == 1
    assert abs(pause[0].start_frame - 140) <= 8
    assert abs(pause[0].stop_frame - 190) <= 8


def test_the_split_is_librosas_to_the_bit() -> None:
    from avf_curation.detectors import librosa_split
    from librosa import effects, feature

    draw = np.random.default_rng(0)
    for number in range(40):
        length = 700_000 if number == 0 else int(draw.integers(1, 90_000))  # the first has more windows than a part
        loud = np.repeat(10 ** draw.uniform(-5, 0, length // 900 + 1), 900)[:length]
        sound = (draw.normal(0, 0.2, length) * loud).clip(-1, 1).astype(np.float32)
        levels, top_db = librosa_split._window_levels(sound), draw.uniform(1e-3, 70)
        np.testing.assert_array_equal(levels, feature.rms(y=sound, frame_length=2048, hop_length=160)[0])
        spans = np.reshape(librosa_split._find_sound(levels, top_db), (-1, 2)) * 160
        expected = effects.split(sound, top_db=top_db, frame_length=2048, hop_length=160)
        np.testing.assert_array_equal(np.minimum(spans, length), expected)


def test_zero_and_near_zero_samples_are_silence() -> None:
    for samples in (np.zeros(64000, np.int16), np.random.default_rng(0).integers(-8, 9, 64000).astype(np.int16)):
        assert [s.speech for s in silence.measure(Span(0, 100), samples, split_silence, DEFAULT.silence)] == [False]


def test_long_speech_is_split_at_the_quietest_frames() -> None:
    levels = np.full(1000, -20.0)
    levels[[300, 610]] = -50
    edges = silence.cut_long(levels, Span(0, 1000), 375, 50)
    assert edges[0] == 0
    assert edges[-1] == 1000
    assert all(50 <= b - a <= 375 for a, b in zip(edges, edges[1:], strict=False))
    assert min(abs(edge - 300) for edge in edges) <= 2
    assert min(abs(edge - 610) for edge in edges) <= 2


@pytest.mark.parametrize("late", range(0, 640, 80))
@pytest.mark.parametrize(("pause_s", "parts"), [(0.45, 1), (0.55, 2)])
def test_a_pause_is_as_long_wherever_it_begins_within_a_frame(late: int, pause_s: float, parts: int) -> None:
    tone = 8000 * np.sin(2 * np.pi * 220 * np.arange(96_000) / 16000)
    begin = 40_000 + late  # a codec's delay moves the sound by a part of a frame
    # A window is 128 ms long and hears sound on either side: 30 dB below it, a pause is 120 ms shorter than it is.
    tone[begin : begin + round((pause_s + 0.12) * 16000)] = 0
    samples = np.round(tone).astype(np.int16)
    stretches = silence.measure(Span(0, 150), samples, split_silence, DEFAULT.silence)
    assert sum(s.speech for s in stretches) == parts


@pytest.mark.parametrize("clicks", [(10,), (10, 60), (30, 55, 80, 125, 160)])
def test_loud_clicks_do_not_make_speech_silent(clicks: tuple[int, ...]) -> None:
    spoken = speak(250, 120, 3, pauses=((100, 150),)).samples
    quiet = np.round(spoken * 32767 * 0.15).astype(np.int16)
    clicked = quiet.copy()
    for frame in clicks:
        tone = 31000 * np.sin(2 * np.pi * 900 * np.arange(640) / 16000)
        clicked[frame * 640 : (frame + 1) * 640] = tone.astype(np.int16)

    def speech_frames(samples: np.ndarray) -> set[int]:
        stretches = silence.measure(Span(0, 250), samples, split_silence, DEFAULT.silence)
        return {frame for s in stretches if s.speech for frame in range(s.span.start_frame, s.span.stop_frame)}

    beside_clicks = {frame + near for frame in clicks for near in range(-8, 9)}
    assert len(speech_frames(quiet)) > 150
    assert (speech_frames(quiet) ^ speech_frames(clicked)) - beside_clicks == set()


def test_a_click_does_not_raise_the_limit_of_silence() -> None:
    config = replace(DEFAULT.silence, floor_dbfs=-90)
    loud = speak(125, 120, 3).samples * 9000
    quiet_end = np.concatenate([loud, loud * 10 ** (-24 / 20)]).astype(np.int16)
    clicked = quiet_end.copy()
    clicked[30 * 640 : 31 * 640] = 31000 * np.sin(2 * np.pi * 900 * np.arange(640) / 16000)

    def frames_at_the_end(samples: np.ndarray) -> set[int]:
        spans = split_silence(samples, config)
        return {frame for span in spans for frame in range(max(125, span.start_frame), span.stop_frame)}

    assert len(frames_at_the_end(quiet_end)) > 30
    assert frames_at_the_end(clicked) == frames_at_the_end(quiet_end)


def test_the_lasting_level_is_that_of_speech_with_and_without_a_click() -> None:
    samples = np.round(speak(250, 120, 3).samples * 8000).astype(np.int16)
    loudest = silence.frame_levels_dbfs(samples).max()
    assert loudest - 6 < silence.lasting_level_dbfs(samples) <= loudest
    clicked = samples.copy()
    clicked[3000:3640] = 32000
    assert abs(silence.lasting_level_dbfs(clicked) - silence.lasting_level_dbfs(samples)) < 1
    assert silence.lasting_level_dbfs(samples[:6400]) == silence.frame_levels_dbfs(samples[:6400]).max()
    assert silence.lasting_level_dbfs(samples[:0]) == -100
