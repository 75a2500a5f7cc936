"""The extractor without weights: what is heard in each frame, as a spectrum."""

import hashlib

import numpy as np
import torch

from avf_training.framewise.models.vggish_input import FRAME_SAMPLES, HOP_SAMPLES, log_mel_frames
from avf_training.framewise.sampling.audio_rows import rows_of_frames
from avf_training.framewise.tracks.extractor import FrameVectors, every_frame
from avf_training.framewise.tracks.footage import Footage
from avf_training.framewise.tracks.identity import ExtractorIdentity

_NO_WEIGHTS = hashlib.sha256(b"").hexdigest()


class LogMelExtractor:
    """The log-mel spectrum of each frame: 64 bands from 125 to 7500 Hz, in which loudness, brightness and pitch lie."""

    picture_input = None

    def __init__(self) -> None:
        settings: dict[str, str | int | float | bool] = {"hop_samples": HOP_SAMPLES, "window_samples": FRAME_SAMPLES}
        self.identity = ExtractorIdentity.from_settings("log_mel", settings, _NO_WEIGHTS)

    def extract(self, footage: Footage) -> FrameVectors:
        """Return a vector for each frame; zeros for sound shorter than 25 ms."""
        rows_RD = log_mel_frames(footage.wave().astype(np.float64))
        return every_frame(rows_of_frames(rows_RD, footage.frames, footage.fps, HOP_SAMPLES, FRAME_SAMPLES))


def load_log_mel(name: str, weights: None, device: torch.device) -> LogMelExtractor:
    """Return the extractor, which has no weights and runs on the processor."""
    return LogMelExtractor()
