"""Envelope sync measures a known offset between mouth and audio."""

import numpy as np
import pytest
from avf_curation.demo.speech import speak
from avf_curation.detectors import envelope_sync
from support.curation_runs import make_recipe

DEFAULT = make_recipe().defaults


def score_talker(
    frames: int, shift: int, *, gain: float = 1.0, click: int | None = None, shifts: int = 15
) -> envelope_sync.EnvelopeScore:
    """Score a drawn mouth whose sound must be moved later by `shift` frames; frame `click` is a beep at full scale."""
    speech = speak(frames, 120, 5)
    patches = np.full((frames, 20, 32, 3), 150.0)
    for t in range(frames):
        gap = round(6 * speech.mouth_T[t])
        patches[t, 10 - gap : 10 + gap + 1, 8:24] = 40
    patches += np.random.default_rng(1).normal(0, 4, patches.shape)
    samples = np.round(np.roll(speech.samples, -shift * 640) * gain * 32767).astype(np.int16)
    if click is not None:
        samples[click * 640 : (click + 1) * 640] = 31000 * np.sin(2 * np.pi * 900 / 16000 * np.arange(640))
    result = envelope_sync.score_envelope_sync(np.clip(patches, 0, 255).astype(np.uint8), samples, shifts)
    assert result is not None
    return result


@pytest.mark.parametrize("shift", [-9, -2, 0, 4, 11])
def test_envelope_sync_measures_a_known_offset(shift: int) -> None:
    result = score_talker(200, shift)
    assert abs(result.offset - shift) <= 1
    assert result.confidence > DEFAULT.sync.envelope_min_confidence


@pytest.mark.parametrize("shift", [-2, 0, 2])
def test_the_narrowest_search_measures_an_offset(shift: int) -> None:
    assert abs(score_talker(200, shift, shifts=4).offset - shift) <= 1


def test_an_offset_is_not_told_from_less_than_three_seconds() -> None:
    assert score_talker(75, 2).confidence > 0
    assert score_talker(74, 2).confidence == 0


@pytest.mark.parametrize("shift", [-15, -14, 14, 15])
def test_an_offset_at_the_edge_of_the_search_is_not_told(shift: int) -> None:
    result = score_talker(200, shift)
    assert abs(result.offset - shift) <= 1
    assert result.confidence == 0


@pytest.mark.parametrize("shift", [-4, 0, 3])
def test_a_loud_click_hides_no_offset(shift: int) -> None:
    quiet = score_talker(100, shift, gain=0.1)
    clicked = score_talker(100, shift, gain=0.1, click=10)
    assert clicked.offset == quiet.offset == shift
    # Before a click was limited, it took three quarters of the confidence.
    assert clicked.confidence > 0.6 * quiet.confidence


def test_a_patch_is_the_box_of_the_mouth_pushed_into_the_picture() -> None:
    draw = np.random.default_rng(0)
    frames = draw.integers(0, 256, (40, 60, 64, 3), dtype=np.uint8)
    centres = np.round(2 * draw.uniform((-20, -20), (84, 80), (40, 2))) / 2  # of half pixels, which round to even
    patches = envelope_sync.mouth_patches(frames, envelope_sync.MouthPosition(centres_T2=centres, width_px=32.0))
    for frame, patch, (x, y) in zip(frames, patches, centres, strict=True):
        left, top = min(max(round(x - 16), 0), 32), min(max(round(y - 10), 0), 40)
        assert np.array_equal(patch, frame[top : top + 20, left : left + 32])
