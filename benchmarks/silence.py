"""Measure the F1 score, over frames, of the silence stage against labelled speech, for several thresholds."""

import sys
from dataclasses import replace
from pathlib import Path

from avf_curation.recipe import load_recipe

from benchmarks.table import SHARED, Section

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.speech_truth import load_speech_truth, speech_f1


def run() -> list[Section]:
    if not (SHARED / "assets/audio").is_dir():
        return [Section("Silence", "Not measured: the real recordings are not here.", [["", ""]])]
    config = load_recipe().defaults.silence
    sounds = load_speech_truth(SHARED / "assets/audio")
    rows = [["top_db", *sounds]]
    for top_db in (15.0, 20.0, 25.0, 30.0, 35.0, 40.0):
        mark = " (default)" if top_db == config.top_db else ""
        values = [
            f"{speech_f1(samples, speech, replace(config, top_db=top_db)):.3f}" for samples, speech in sounds.values()
        ]
        rows.append([f"{top_db:g}{mark}", *values])
    return [
        Section(
            "Silence",
            "Frame F1 against pyannote's RTTM and SpeechBrain's JSON, padding and pauses as in the recipe.",
            rows,
        )
    ]
