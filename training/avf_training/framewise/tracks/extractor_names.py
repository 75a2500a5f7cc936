"""The extractors by name. Without torch, so that a wrong name is refused quickly."""

from avf_shards.errors import UserError

from avf_training.framewise.tracks.added_extractors import find_added_extractor, list_extractor_names
from avf_training.framewise.tracks.extractor_definition import Extractor, Reads

_TRACKS = "avf_training.framewise.tracks"
_SPEECH, _VOICE = f"{_TRACKS}.speech_extractors", f"{_TRACKS}.voice_extractors"
_STATIC = f"{_TRACKS}.picture_extractors:load_static"
_ACOUSTIC = f"{_SPEECH}:load_acoustic_model"


def _pictures(name: str, about: str, load: str) -> Extractor:
    return Extractor(name=name, about=about, reads="pictures", load=load)


def _sound(name: str, about: str, load: str, *, has_weights: bool = True) -> Extractor:
    return Extractor(name=name, about=about, reads="sound", load=load, has_weights=has_weights)


OWN_EXTRACTORS = (
    _pictures(
        "vit",
        "face frames: NetEase's feature of a fine-tuned image MAE (768 values of ViT-B), or CLS before fine-tuning",
        f"{_TRACKS}.picture_extractors:load_vit",
    ),
    _pictures("efficientnet_b1", "face frames: SUN's embedding of 256 values, 240 px", _STATIC),
    _pictures("efficientnet_b4", "face frames: SUN's embedding of 256 values, 380 px", _STATIC),
    _pictures("vit_b_16", "face frames: SUN's embedding of 256 values on torchvision's ViT-B/16, 224 px", _STATIC),
    _pictures(
        "hrnet_w32",
        "frames with the upper body: SUN's embedding of 256 values on a pose net, 256 px (extra `hrnet`)",
        _STATIC,
    ),
    Extractor(
        name="saved_model",
        about="face frames: a model or run of avf-train, a vector for every eight frames",
        reads="clips",
        load=f"{_TRACKS}.saved_model_extractor:load_saved_model",
    ),
    _sound(
        "wav2vec2",
        "sound: last layer of wav2vec 2.0, the mean of the states in each frame",
        f"{_SPEECH}:load_speech_encoder",
    ),
    _sound(
        "hubert", "sound: last layer of HuBERT, the mean of the states in each frame", f"{_SPEECH}:load_speech_encoder"
    ),
    _sound("vggish", "sound: VGGish of the 0.96 s that a frame lies in", f"{_SPEECH}:load_vggish"),
    _sound("pdem_v1", "sound: SUN's acoustic model V1 on PDEM, five vectors a second", _ACOUSTIC),
    _sound("pdem_v2", "sound: SUN's acoustic model V2 on PDEM, five vectors a second", _ACOUSTIC),
    _sound("pdem_v3", "sound: SUN's acoustic model V3 on PDEM, five vectors a second", _ACOUSTIC),
    _pictures(
        "mouth",
        "face frames: the area between the lips by dlib's 68 landmarks, whose predictor is the file of weights",
        f"{_VOICE}:load_mouth",
    ),
    _sound(
        "speech",
        "sound: how probable speech is, where that file is not there; needs no weights",
        f"{_VOICE}:load_speech",
        has_weights=False,
    ),
    _sound(
        "log_mel",
        "sound: the log-mel spectrum of each frame, 64 values; needs no weights",
        f"{_TRACKS}.log_mel_extractor:load_log_mel",
        has_weights=False,
    ),
)
EXTRACTORS = {extractor.name: extractor.about for extractor in OWN_EXTRACTORS}
"""Ours: name -> what it reads and gives."""
_OWN = {extractor.name: extractor for extractor in OWN_EXTRACTORS}


def find_extractor(name: str) -> Extractor:
    """Return an extractor by name, ours or that of an installed package. Raises UserError where none has the name."""
    if name in _OWN:
        return _OWN[name]
    added = find_added_extractor(name)
    if added is None:
        known = [*EXTRACTORS, *list_extractor_names(EXTRACTORS)]
        raise UserError(f"--extractor {name}: no such extractor; the extractors are {', '.join(known)}")
    return added.extractor


def check_extractor(name: str, pictures: bool = False, sound: bool = False) -> None:
    """Raise UserError for a name that no extractor has, or that needs more than single pictures, or more than sound."""
    extractor = find_extractor(name)
    options: tuple[tuple[bool, str, Reads], ...] = (
        (pictures, "--pictures", "pictures"),
        (sound, "--sound", "sound"),
    )
    for chosen, option, reads in options:
        if chosen and extractor.reads != reads:
            names = ", ".join(each.name for each in OWN_EXTRACTORS if each.reads == reads)
            raise UserError(f"--extractor {name}: does not work with {option}, which is for {names}")


def check_weights(name: str, *, given: bool) -> None:
    """Raise UserError where an extractor needs weights and none are given, or has none and some are."""
    has_weights = find_extractor(name).has_weights
    if given and not has_weights:
        raise UserError(f"--weights: {name} has no weights; leave the option out")
    if not given and has_weights:
        without = ", ".join(each.name for each in OWN_EXTRACTORS if not each.has_weights)
        raise UserError(f"--weights is missing: {name} needs its weights; {without} need none")
