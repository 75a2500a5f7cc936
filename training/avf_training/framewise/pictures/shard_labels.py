"""Labels of the pictures of shards, as values in the columns of a task."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from avf_shards.errors import UserError
from avf_shards.format.picture_record import PictureRecord
from avf_shards.text import count_noun

from avf_training.data.storage import StorageConfig
from avf_training.distributed.environment import log_of_rank_0
from avf_training.framewise.labels.tasks import FrameLabelTask
from avf_training.framewise.pictures.labelled import LabelledPicture, LabelledPictures
from avf_training.framewise.pictures.shards import PictureShards

log = log_of_rank_0(__name__)
_MAX_NAMED = 6


def read_labelled_shards(
    shards: Sequence[str | Path], task: FrameLabelTask, storage: StorageConfig
) -> LabelledPictures:
    """Return the pictures of shards that have a label of the task; records are read once.

    Raises UserError where none has one, FaultError for records that cannot be read.
    """
    source = PictureShards(shards, storage)
    pictures: list[LabelledPicture] = []
    rows: list[list[float]] = []
    others: Counter[str] = Counter()
    expressions: Counter[str] = Counter()  # that are none of the task's
    for number, record in source.records():
        values = label_values(record, task)
        if all(map(math.isnan, values)):
            others.update(() if record.labels is None else record.labels.values)
            expressions.update(filter(None, [_expression_of(record)]))
            continue
        group = f"{record.source}/{record.group_id}"
        pictures.append(LabelledPicture(number=number, key=record.key, group=group, subset=record.subset))
        rows.append(values)
    if not pictures:
        named = f"they have {', '.join(sorted(others)[:12])}" if others else "they have no labels at all"
        raise UserError(
            f"{', '.join(map(str, shards))}: none of {count_noun(len(source), 'picture')} has a label of "
            f"--task {task.name} ({task.about}); {named}"
        )
    unknown = expressions if task.name == "expr" else Counter[str]()
    if unknown:
        named = ", ".join(f"{name} {count:,}" for name, count in unknown.most_common(_MAX_NAMED))
        log.warning(
            "%s left out, whose expression is none of the task's (%s): %s; the task's are %s",
            *(count_noun(unknown.total(), "picture"), f"--task {task.name}", named, ", ".join(task.classes)),
        )
    return LabelledPictures(task, source, pictures, np.array(rows, np.float32))


def label_values(record: PictureRecord, task: FrameLabelTask) -> list[float]:
    """Return a picture's label in the columns of the task, nan where it has none. Raises FaultError.

    An expression is that of the challenge, under which owners' classes without a counterpart have none.
    """
    if task.name == "expr":
        name = _expression_of(record)
        return [float(task.classes.index(name)) if name in task.classes else math.nan]
    if task.name == "au":
        units = record.action_units
        return [float(units[name]) if name in units else math.nan for name in task.columns]
    numbers = [record.number(name) for name in task.columns]
    # Owners mark what is not known by a number out of range, as AffectNet's -2.
    return [math.nan if number is None or not task.low <= number <= task.high else number for number in numbers]


def _expression_of(record: PictureRecord) -> str | None:
    return record.label("abaw_expression") or record.label("expression")
