"""How labels of different data sets meet: the labelled hybrid of AVF-MAE++ (Table 3), the three of micro-expressions.

A label without a counterpart is left out, never guessed. `anxiety` (MAFW) and `worried` (MER) stay apart, as in the
paper.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from avf_shards.errors import UserError

HYBRID = (
    *("anger", "disgust", "fear", "happy", "neutral", "sadness", "surprise", "worried"),
    *("calm", "contempt", "anxiety", "helplessness", "disappointment"),  # the papers print "Clam" for calm
)
_MER = {
    "angry": "anger",
    "happy": "happy",
    "neutral": "neutral",
    "sad": "sadness",
    "surprise": "surprise",
    "worried": "worried",
}
_CREMA = {"ANG": "anger", "DIS": "disgust", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sadness"}

_MAFW = (
    *("anger", "disgust", "fear", "neutral", "sadness", "surprise"),
    *("contempt", "anxiety", "helplessness", "disappointment"),
)

ALIGNED: Mapping[str, Mapping[str, str]] = {
    "mafw_11": {"happiness": "happy"} | {name: name for name in _MAFW},
    "dfew": {
        "happy": "happy",
        "sad": "sadness",
        "neutral": "neutral",
        "angry": "anger",
        "surprise": "surprise",
        "disgust": "disgust",
        "fear": "fear",
    },
    "mer_multi": _MER,
    "mer24": _MER,
    "iemocap": {"ang": "anger", "hap": "happy", "exc": "happy", "neu": "neutral", "sad": "sadness"},
    "crema_d_6": _CREMA,
    "crema_d_4": {name: _CREMA[name] for name in ("ANG", "HAP", "NEU", "SAD")},
    "ravdess": {
        "neutral": "neutral",
        "calm": "calm",
        "happy": "happy",
        "sad": "sadness",
        "angry": "anger",
        "fearful": "fear",
        "disgust": "disgust",
        "surprised": "surprise",
    },
}
"""Data set -> its label -> the hybrid's. MSP-IMPROV, AVCAffe and Werewolf-XL are in no hybrid (supplement)."""

_NEGATIVE = ("anger", "contempt", "disgust", "fear", "sad", "sadness", "repression", "negative")
_POSITIVE = ("happiness", "happy", "positive")
_LEFT_OUT = {
    "casme2": ("fear", "sadness", "others"),
    "samm": ("other", "others"),
    "casme3": ("others",),
    "mmew": ("others",),
}


def three_classes(source: str, label: str) -> str | None:
    """A micro-expression's label as negative, positive or surprise; None where it is left out (MEGC 2019's rule)."""
    name = label.strip().lower()
    if name in _LEFT_OUT.get(source, ()):
        return None
    if name in _NEGATIVE:
        return "negative"
    if name in _POSITIVE:
        return "positive"
    return "surprise" if name == "surprise" else None


@dataclass(frozen=True)
class Sample:
    """A labelled clip as the guard sees it: its key, its name in the owners' corpus, who is in it."""

    key: str
    video: str
    subject: str | None


def guard(hybrid: Iterable[Sample], test: Iterable[Sample], target: str) -> None:
    """Prove that no test clip of the target fold is in the hybrid: not by key, not by name, not by subject.

    Names are compared across sources too: MER24 holds MER-MULTI's test clips. Raises UserError naming the first.
    """
    tests = list(test)
    keys = {one.key for one in tests}
    videos = {one.video for one in tests}
    subjects = {(_source(one.key), one.subject) for one in tests if one.subject is not None}
    for one in hybrid:
        why = None
        if one.key in keys:
            why = "the same clip"
        elif one.video in videos:
            why = f"the same recording ({one.video})"
        elif (_source(one.key), one.subject) in subjects:
            why = f"the same person ({one.subject})"
        if why is not None:
            raise UserError(
                f"{one.key}: {why} is in the test set of {target}; leave it out of the hybrid for this fold"
            )


def _source(key: str) -> str:
    return key.split("-", 1)[0]
