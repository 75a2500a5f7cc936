"""The extractor of our audio-visual models: the mean of the video tokens of each pair of frames that a model sees."""

from pathlib import Path

import numpy as np
import torch
from avf_shards.errors import UserError

from avf_training.data.window_length import STRIDE, WINDOW_S
from avf_training.framewise.tracks.extractor import FrameVectors, digest_weights
from avf_training.framewise.tracks.footage import ClipFootage, Footage
from avf_training.framewise.tracks.identity import ExtractorIdentity
from avf_training.inference.feature_model import FeatureModel
from avf_training.trainer.saved_model import start_model

_PAIR_FRAMES = 2 * STRIDE  # frames from one pair that the model sees to the next


class SavedModelExtractor:
    """A pre-trained or fine-tuned model: a vector for every eight frames, from windows side by side."""

    picture_input = None

    def __init__(self, model: FeatureModel, identity: ExtractorIdentity) -> None:
        self.identity = identity
        self._model = model

    def extract(self, footage: Footage) -> FrameVectors:
        """Return a vector for every eight frames; behind the last whole window from one that ends with the stretch."""
        assert isinstance(footage, ClipFootage)
        windows = self._model.windows(footage.frames, WINDOW_S)
        rows: list[int] = []
        vectors = []
        for window, features in zip(windows, self._model.features(footage.files, windows, True), strict=True):
            assert features.frames is not None
            for number, vector_D in enumerate(features.frames.float().cpu().numpy()):
                row = window.start_frame + number * _PAIR_FRAMES
                if row < footage.frames and (not rows or row > rows[-1]):
                    rows.append(row)
                    vectors.append(vector_D)
        return FrameVectors(rows_R=np.array(rows, np.int64), vectors_RD=np.stack(vectors))


def load_saved_model(name: str, weights: Path, device: torch.device) -> SavedModelExtractor:
    """Return the extractor of a saved model or run. Raises UserError, also for a model of sound alone."""
    folder = start_model(weights)
    model = FeatureModel(folder, str(device))
    if "v" not in model.config.modalities:
        raise UserError(
            f"{weights}: is a model of sound alone, which has no feature of single frames; name one with video"
        )
    identity = ExtractorIdentity.from_settings(name, {"pair_frames": _PAIR_FRAMES}, digest_weights(folder))
    return SavedModelExtractor(model, identity)
