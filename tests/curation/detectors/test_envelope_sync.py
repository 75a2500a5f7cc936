"""Envelope sync measures a known offset between mouth and audio."""

import numpy as np
import pytest
from avf_curation.demo.speech import speak
from avf_curation.detectors import envelope_sync
from support.curation_runs import make_recipe

DEFAULT = make_recipe().defaults


@pytest.mark.parametrize("shift", [-9, -2, 0, 4, 11])
def test_envelope_sync_measures_a_known_offset(shift: int) -> None:
    speech = speak(200, 120, 5)
    frames = np.full((200, 20, 32, 3), 150.0)
    for t in range(200):
        gap = round(6 * speech.mouth_T[t])
        frames[t, 10 - gap : 10 + gap + 1, 8:24] = 40
    frames += np.random.default_rng(1).normal(0, 4, frames.shape)
    samples = np.round(np.roll(speech.samples, -shift * 640) * 32767).astype(np.int16)
    result = envelope_sync.score_envelope_sync(np.clip(frames, 0, 255).astype(np.uint8), samples, 15)
    assert result is not None
    assert abs(result.offset - shift) <= 1
    assert result.confidence > DEFAULT.sync.envelope_min_confidence
