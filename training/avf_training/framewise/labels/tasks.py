"""The three tasks of the challenge: what a label of a frame is, and what a model gives for it."""

from dataclasses import dataclass
from typing import Literal

from avf_shards.errors import UserError

from avf_training.framewise.metrics import ACTION_UNITS, EXPRESSIONS

TaskName = Literal["va", "expr", "au"]


@dataclass(frozen=True, kw_only=True)
class FrameLabelTask:
    """A task: its columns, outputs, loss and metric."""

    name: TaskName
    record_name: str  # of its labels in clip records
    about: str  # one line for people
    columns: tuple[str, ...]  # of a label track: K values a frame
    classes: tuple[str, ...]  # names of the classes, or of the values, that a model predicts
    is_whole: bool  # values are whole numbers, and -1 is not valid; else real numbers, and null is not valid
    low: float  # smallest valid value
    high: float  # largest valid value
    loss: str  # name of the loss that is trained with
    metric: str  # name of the score that is reported and selects

    @property
    def outputs(self) -> int:
        """Return the values of a prediction: 2, 8 logits or 12 logits."""
        return len(self.classes)


TASKS_OF_FRAMES: dict[str, FrameLabelTask] = {
    "va": FrameLabelTask(
        name="va",
        record_name="valence_arousal",
        about="valence and arousal in -1..1",
        columns=("valence", "arousal"),
        classes=("valence", "arousal"),
        is_whole=False,
        low=-1,
        high=1,
        loss="concordance",
        metric="mean CCC",
    ),
    "expr": FrameLabelTask(
        name="expr",
        record_name="expressions",
        about="one of eight expressions",
        columns=("expression",),
        classes=EXPRESSIONS,
        is_whole=True,
        low=0,
        high=len(EXPRESSIONS) - 1,
        loss="weighted cross-entropy",
        metric="macro F1",
    ),
    "au": FrameLabelTask(
        name="au",
        record_name="action_units",
        about="twelve action units, each on or off",
        columns=tuple(f"AU{unit}" for unit in ACTION_UNITS),
        classes=tuple(f"AU{unit}" for unit in ACTION_UNITS),
        is_whole=True,
        low=0,
        high=1,
        loss="weighted binary cross-entropy",
        metric="mean F1",
    ),
}
"""Tasks by name, in the challenge's order."""


def find_task(name: str) -> FrameLabelTask:
    """Return a task. Raises UserError for an unknown name."""
    if name not in TASKS_OF_FRAMES:
        raise UserError(f"--task {name}: no such task; the tasks are {', '.join(TASKS_OF_FRAMES)}")
    return TASKS_OF_FRAMES[name]
