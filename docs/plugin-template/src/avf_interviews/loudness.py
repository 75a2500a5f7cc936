"""The extractor `loudness`: the level of the sound in each frame, in dBFS. It has no weights."""

import hashlib
from typing import Any

import numpy as np
from avf_training.framewise.tracks.extractor_definition import Extractor

NAME = "loudness"
_SILENT = 1e-5  # -100 dBFS

EXTRACTOR = Extractor(
    name=NAME,
    about="sound: its level in each frame, in dBFS; needs no weights",
    reads="sound",
    load="avf_interviews.loudness:load",  # imported only where the extractor is used
    has_weights=False,
)


def load(name: str, weights: None, device: Any) -> "LoudnessExtractor":
    """Return the extractor."""
    return LoudnessExtractor(name)


class LoudnessExtractor:
    """The level of the sound in each frame."""

    picture_input = None  # it looks at no picture

    def __init__(self, name: str) -> None:
        """State what decides the vectors beside this code: here nothing."""
        from avf_training.framewise.tracks.identity import ExtractorIdentity

        self.identity = ExtractorIdentity.from_settings(name, {}, hashlib.sha256(b"").hexdigest())

    def extract(self, footage: Any) -> Any:
        """Return one value for each frame."""
        from avf_training.framewise.tracks.extractor import every_frame

        frames_NS = np.array_split(footage.wave().astype(np.float64), footage.frames)
        levels = [np.sqrt(np.mean(samples_S**2)) if len(samples_S) else 0.0 for samples_S in frames_NS]
        return every_frame(20 * np.log10(np.maximum(levels, _SILENT))[:, None])
