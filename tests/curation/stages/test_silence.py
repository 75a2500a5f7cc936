"""The silence stage agrees with human annotations: RTTM of pyannote, JSON of SpeechBrain."""

from pathlib import Path

import pytest
from avf_curation.recipe import load_recipe
from support.speech_truth import load_speech_truth, speech_f1

LEAST = {"pyannote_two_speakers": 0.95, "speechbrain_vad_valid": 0.75}


@pytest.mark.real
@pytest.mark.parametrize("name", LEAST)
def test_speech_agrees_with_human_annotations(shared: Path, name: str) -> None:
    samples, speech_T = load_speech_truth(shared / "assets/audio")[name]
    assert speech_f1(samples, speech_T, load_recipe().defaults.silence) > LEAST[name]
