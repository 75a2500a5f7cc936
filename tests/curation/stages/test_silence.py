"""The silence stage against speech truth made by people: pyannote's RTTM, SpeechBrain's JSON."""

from pathlib import Path

import pytest
from avf_curation.recipe import load_recipe
from support.speech_truth import f1, truth

LEAST = {"pyannote_two_speakers": 0.95, "speechbrain_vad_valid": 0.75}


@pytest.mark.real
@pytest.mark.parametrize("name", LEAST)
def test_frame_f1(shared: Path, name: str) -> None:
    samples, speech_T = truth(shared / "assets/audio")[name]
    assert f1(samples, speech_T, load_recipe().defaults.silence) > LEAST[name]
