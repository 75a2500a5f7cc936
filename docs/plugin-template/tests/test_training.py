"""avf-train knows the data set and the extractor."""

from types import SimpleNamespace

import numpy as np
from avf_training.framewise.tracks.loading import load_extractor
from avf_training.tasks.catalog import find_dataset


def test_the_data_set_asks_for_the_moods_of_the_corpus() -> None:
    data = find_dataset("interviews_mood")
    assert (data.source, data.labels, data.metrics) == ("interviews", ("calm", "glad", "sad"), ("UAR", "WAR"))


def test_the_level_of_each_frame_is_its_own() -> None:
    wave_S = np.repeat(np.array([0.0, 0.1, 1.0], np.float32), 640)
    extractor = load_extractor("loudness", None)
    vectors = extractor.extract(SimpleNamespace(frames=3, wave=lambda: wave_S))
    assert vectors.vectors_RD.round(1).tolist() == [[-100.0], [-20.0], [0.0]]
    assert "avf-interviews 0.1.0" in extractor.identity.settings
