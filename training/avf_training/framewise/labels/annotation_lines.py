"""One value of a label as text: numbers, names of classes, and what stands for no valid label."""

import math
import re

from avf_training.framewise.labels.tasks import FrameLabelTask
from avf_training.framewise.metrics import MISSING_CLASS, MISSING_VALENCE_AROUSAL

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
MAX_NAMED_FAULTS = 20  # of one file; the others are counted


def parse_label(task: FrameLabelTask, column: str, text: str) -> float:
    """Return the value of a label, nan for one that is not valid: empty, -5 (va) or -1.

    Raises ValueError with what is wrong.
    """
    text = text.strip()
    if not text:
        return math.nan
    if task.name == "expr" and text.lower() in (names := [each.lower() for each in task.classes]):
        return float(names.index(text.lower()))
    if not _NUMBER.fullmatch(text):
        kind = f"neither a number nor one of {', '.join(task.classes)}" if task.name == "expr" else "no number"
        raise ValueError(f"{column} {text[:40]!r} is {kind}")
    value = float(text)
    missing = MISSING_CLASS if task.is_whole else MISSING_VALENCE_AROUSAL
    if value == missing:
        return math.nan
    if not task.low <= value <= task.high or (task.is_whole and not value.is_integer()):
        raise ValueError(f"{column} {value:g} is neither {missing:g} nor from {task.low:g} to {task.high:g}")
    return value
