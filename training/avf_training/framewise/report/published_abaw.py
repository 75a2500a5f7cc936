"""The results that both ABAW-6 papers print: abaw6_published.json, a line for each result, with its table."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from avf_shards.settings.config import bind

from avf_training.framewise.labels.tasks import FrameLabelTask

_FILE = Path(__file__).parent / "abaw6_published.json"


@dataclass(frozen=True, kw_only=True)
class PublishedFrameScore:
    """A row of a table."""

    task: str  # va, expr or au
    paper: str  # NetEase or SUN
    table: str  # of the paper
    system: str  # as printed
    set: str  # test, validation (the owners'), or fold-1 to fold-5
    scores: Mapping[str, float]  # output, or mean -> CCC, or F1 in percent
    note: str = ""  # what is wrong or special about it


@dataclass(frozen=True, kw_only=True)
class _PublishedFile:
    figures: tuple[PublishedFrameScore, ...]  # in the order of the papers


@cache
def published_scores(task: FrameLabelTask) -> tuple[PublishedFrameScore, ...]:
    """Return every published result of a task. Raises UserError where the file is damaged."""
    figures = bind(_PublishedFile, json.loads(_FILE.read_text("utf-8"))).figures
    return tuple(figure for figure in figures if figure.task == task.name)
