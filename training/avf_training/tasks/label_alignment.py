"""Alignment of the labels of different data sets, and the check against leakage between them.

The labelled hybrid of AVF-MAE++ (Table 3) has 13 labels; each row of the catalog maps its labels to them.
Micro-expressions have three. A label without a counterpart is excluded, never guessed: `anxiety` (MAFW) and `worried`
(MER) stay apart, as in the paper.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from avf_shards.errors import UserError

from avf_training.tasks.catalog import DATASETS

HYBRID_LABELS = (
    *("anger", "disgust", "fear", "happy", "neutral", "sadness", "surprise", "worried"),
    *("calm", "contempt", "anxiety", "helplessness", "disappointment"),  # the papers print "Clam" for calm
)
ALIGNED: Mapping[str, Mapping[str, str]] = {
    data.name: data.alignment for data in DATASETS if data.alignment and data.in_hybrid
}
"""Data set in the hybrid -> its label -> the hybrid's. MSP-IMPROV, AVCAffe and Werewolf-XL are in none (supplement)."""

MICRO_LABELS = ("negative", "positive", "surprise")
MICRO_DATASETS = tuple(data.name for data in DATASETS if data.task == "micro_expression")
_NEGATIVE = ("anger", "contempt", "disgust", "fear", "sad", "sadness", "repression", "negative")
_POSITIVE = ("happiness", "happy", "positive")


def micro_expression_class(label: str, excluded: Sequence[str] = ()) -> str | None:
    """Return negative, positive or surprise for a native label, or None where it is excluded (rule of MEGC 2019)."""
    name = label.strip().lower()
    if name in excluded:
        return None
    if name in _NEGATIVE:
        return "negative"
    if name in _POSITIVE:
        return "positive"
    return "surprise" if name == "surprise" else None


@dataclass(frozen=True, kw_only=True)
class ClipOrigin:
    """The recording and the person of a labelled clip, which the check against leakage compares between data sets."""

    key: str  # of the clip in the shards
    recordings: str  # see `recordings_of`: sources that hold the same recordings share one name
    video_id: str  # of the recording that the clip was cut from
    subject: str | None  # identifier of the person within the recordings; None where unknown


class ExcludedClips:
    """The test clips of a fold, which no clip of a hybrid may repeat by key, recording or subject."""

    def __init__(self, test: Iterable[ClipOrigin]) -> None:
        origins = list(test)
        self._keys = {clip.key for clip in origins}
        self._videos = {(clip.recordings, clip.video_id) for clip in origins}
        self._subjects = {(clip.recordings, clip.subject) for clip in origins if clip.subject is not None}

    def overlap(self, clip: ClipOrigin) -> str | None:
        """Return why a clip may not be trained on, or None where it may."""
        if clip.key in self._keys:
            return "the same clip"
        if (clip.recordings, clip.video_id) in self._videos:
            return f"the same recording ({clip.video_id})"
        if (clip.recordings, clip.subject) in self._subjects:
            return f"the same person ({clip.subject})"
        return None


def assert_no_leakage(hybrid: Iterable[ClipOrigin], excluded: ExcludedClips, target: str) -> None:
    """Check that no test clip of the target's fold is in the hybrid by key, by recording or by subject.

    Recordings are compared across the sources that hold the same ones: MER24 holds MER-MULTI's test clips.
    Raises UserError that names the first leak.
    """
    for clip in hybrid:
        reason = excluded.overlap(clip)
        if reason is not None:
            raise UserError(
                f"{clip.key}: {reason} is in the test set of {target}; leave it out of the hybrid for this fold"
            )
