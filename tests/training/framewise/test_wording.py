"""Counts in messages agree with their nouns: "1 video", "2 videos"."""

import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from avf_training.framewise.labels.tasks import find_task
from avf_training.framewise.predictions.frame_statistics import count_frames, score_with_intervals

_SPEC = find_spec("avf_training")
assert _SPEC is not None
assert _SPEC.origin is not None
FOLDER = Path(_SPEC.origin).parent
COUNTED = re.compile(r"\{(?:len\([^}]*\)|[\w.]*(?:count|frames|rows))[^}]*\} (?:labelled |validation )?(\w+s)\b")
NOUNS = {"videos", "frames", "tracks", "windows", "pictures", "rows", "vectors", "labels", "folders", "files"}


@pytest.mark.parametrize("part", ["framewise", "cli"])
def test_no_message_puts_a_plural_behind_any_count(part: str) -> None:
    offenders = []
    for path in sorted((FOLDER / part).rglob("*.py")):
        if "parity" in path.parts:
            continue
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            plurals = {match[1] for match in COUNTED.finditer(line)} & NOUNS
            if plurals:
                offenders.append(f"{path.name}:{number} {line.strip()}")
    assert not [each for each in offenders if "{len(folders)} folders; a run of" not in each], "\n".join(offenders)


def test_one_person_is_no_plural() -> None:
    task = find_task("va")
    rows = count_frames(task, np.zeros((3, 2), np.float32), np.zeros((3, 2)))
    reason = score_with_intervals(task, rows[None], ["a"])["mean"].interval.reason
    assert reason.startswith("too few: 1 person or file, ")
