"""From the name of an extractor and its weights to the extractor."""

from collections.abc import Callable
from pathlib import Path

import torch

from avf_training.framewise.tracks.extractor import TrackExtractor
from avf_training.framewise.tracks.extractor_names import EXTRACTORS, WITHOUT_WEIGHTS, check_extractor, check_weights
from avf_training.framewise.tracks.log_mel_extractor import LogMelExtractor
from avf_training.framewise.tracks.picture_extractors import load_static, load_vit
from avf_training.framewise.tracks.saved_model_extractor import load_saved_model
from avf_training.framewise.tracks.speech_extractors import load_acoustic_model, load_speech_encoder, load_vggish
from avf_training.framewise.tracks.voice_extractors import MouthExtractor, SpeechProbabilityExtractor
from avf_training.models.precision import use_single_precision

Loader = Callable[[str, Path, torch.device], TrackExtractor]
_LOADERS: dict[str, Loader] = {
    "vit": load_vit,
    "efficientnet_b1": load_static,
    "efficientnet_b4": load_static,
    "vit_b_16": load_static,
    "hrnet_w32": load_static,
    "saved_model": load_saved_model,
    "wav2vec2": load_speech_encoder,
    "hubert": load_speech_encoder,
    "vggish": load_vggish,
    "pdem_v1": load_acoustic_model,
    "pdem_v2": load_acoustic_model,
    "pdem_v3": load_acoustic_model,
    "mouth": lambda name, weights, device: MouthExtractor(weights),
}
_WITHOUT_WEIGHTS: dict[str, Callable[[], TrackExtractor]] = {
    "log_mel": LogMelExtractor,
    "speech": SpeechProbabilityExtractor,
}
assert _WITHOUT_WEIGHTS.keys() == set(WITHOUT_WEIGHTS)
assert {*_LOADERS, *WITHOUT_WEIGHTS} == EXTRACTORS.keys()


def load_extractor(name: str, weights: Path | None, device: str = "cpu") -> TrackExtractor:
    """Return an extractor with its weights, None for one that has none.

    Raises UserError for an unknown name, or weights that are missing, too many or do not fit.
    """
    check_extractor(name)
    check_weights(name, given=weights is not None)
    if weights is None:
        return _WITHOUT_WEIGHTS[name]()
    use_single_precision()  # features are those of a CPU, but for the order of sums
    return _LOADERS[name](name, weights, torch.device(device))
