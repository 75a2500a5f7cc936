"""The extractors by name. Without torch, so that a wrong name is refused quickly."""

from avf_shards.errors import UserError

EXTRACTORS = {
    "vit": "face frames: NetEase's feature of a fine-tuned image MAE (768 values of ViT-B), or CLS before fine-tuning",
    "efficientnet_b1": "face frames: SUN's embedding of 256 values, 240 px",
    "efficientnet_b4": "face frames: SUN's embedding of 256 values, 380 px",
    "vit_b_16": "face frames: SUN's embedding of 256 values on torchvision's ViT-B/16, 224 px",
    "hrnet_w32": "frames with the upper body: SUN's embedding of 256 values on a pose net, 256 px (extra `hrnet`)",
    "saved_model": "face frames: a model or run of avf-train, a vector for every eight frames",
    "wav2vec2": "sound: last layer of wav2vec 2.0, the mean of the states in each frame",
    "hubert": "sound: last layer of HuBERT, the mean of the states in each frame",
    "vggish": "sound: VGGish of the 0.96 s that a frame lies in",
    "pdem_v1": "sound: SUN's acoustic model V1 on PDEM, five vectors a second",
    "pdem_v2": "sound: SUN's acoustic model V2 on PDEM, five vectors a second",
    "pdem_v3": "sound: SUN's acoustic model V3 on PDEM, five vectors a second",
    "mouth": "face frames: the area between the lips by dlib's 68 landmarks, whose predictor is the file of weights",
    "speech": "sound: how probable speech is, where that file is not there; needs no weights",
    "log_mel": "sound: the log-mel spectrum of each frame, 64 values; needs no weights",
}
"""Name -> what it reads and gives."""


PICTURE_EXTRACTORS = ("vit", "efficientnet_b1", "efficientnet_b4", "vit_b_16", "hrnet_w32", "mouth")
"""Those that look at single pictures."""
SOUND_EXTRACTORS = ("wav2vec2", "hubert", "vggish", "pdem_v1", "pdem_v2", "pdem_v3", "speech", "log_mel")
"""Those that listen and do not look."""
WITHOUT_WEIGHTS = ("speech", "log_mel")
"""Those that have no weights."""


def check_extractor(name: str, pictures: bool = False, sound: bool = False) -> None:
    """Raise UserError for a name that no extractor has, or that needs more than single pictures, or more than sound."""
    if name not in EXTRACTORS:
        raise UserError(f"--extractor {name}: no such extractor; the extractors are {', '.join(EXTRACTORS)}")
    for chosen, option, names in (
        (pictures, "--pictures", PICTURE_EXTRACTORS),
        (sound, "--sound", SOUND_EXTRACTORS),
    ):
        if chosen and name not in names:
            raise UserError(f"--extractor {name}: does not work with {option}, which is for {', '.join(names)}")


def check_weights(name: str, *, given: bool) -> None:
    """Raise UserError where an extractor needs weights and none are given, or has none and some are."""
    if given and name in WITHOUT_WEIGHTS:
        raise UserError(f"--weights: {name} has no weights; leave the option out")
    if not given and name not in WITHOUT_WEIGHTS:
        raise UserError(f"--weights is missing: {name} needs its weights; {', '.join(WITHOUT_WEIGHTS)} need none")
