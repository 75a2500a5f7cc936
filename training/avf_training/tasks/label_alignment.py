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


MICRO = ("negative", "positive", "surprise")
MICRO_SETS = ("samm", "casme2", "smic", "casme3", "mmew")

TRANSFER: Mapping[str, Mapping[str, str]] = {
    "msp_improv": {"ang": "anger", "hap": "happy", "neu": "neutral", "sad": "sadness"},
}
"""Sets that are in no hybrid and can still be compared with one that is (AVF-MAE++ Table 26)."""


@dataclass(frozen=True, kw_only=True)
class ClipOrigin:
    """A labelled clip as the guard sees it. corpus: sources that hold one another's recordings have one name here."""

    key: str
    corpus: str
    video_id: str
    subject: str | None


class ExcludedClips:
    """The test clips of a fold, to be asked who of the others must stay away."""

    def __init__(self, test: Iterable[ClipOrigin]) -> None:
        tests = list(test)
        self._keys = {one.key for one in tests}
        self._videos = {(one.corpus, one.video_id) for one in tests}
        self._subjects = {(one.corpus, one.subject) for one in tests if one.subject is not None}

    def clash(self, one: ClipOrigin) -> str | None:
        """Why a clip may not be trained on, or None."""
        if one.key in self._keys:
            return "the same clip"
        if (one.corpus, one.video_id) in self._videos:
            return f"the same recording ({one.video_id})"
        if (one.corpus, one.subject) in self._subjects:
            return f"the same person ({one.subject})"
        return None


def assert_no_leakage(hybrid: Iterable[ClipOrigin], tested: ExcludedClips, target: str) -> None:
    """Prove that no test clip of the target fold is in the hybrid: not by key, not by name, not by subject.

    Names are compared across the sources of one corpus too: MER24 holds MER-MULTI's test clips. Raises UserError naming
    the first.
    """
    for one in hybrid:
        why = tested.clash(one)
        if why is not None:
            raise UserError(
                f"{one.key}: {why} is in the test set of {target}; leave it out of the hybrid for this fold"
            )
