"""Alignment of the labels of different data sets.

The labelled hybrid of AVF-MAE++ (Table 3) has 13 labels; each row of the catalog maps its labels to them.
Micro-expressions have three. A label without a counterpart is excluded, never guessed: `anxiety` (MAFW) and `worried`
(MER) stay apart, as in the paper.
"""

from collections.abc import Mapping, Sequence

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
