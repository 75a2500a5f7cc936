"""A share of a task's training clips, to see how scores grow with the amount of labelled clips."""

from dataclasses import replace

from avf_shards.sampling.stream_order import position_random

from avf_training.tasks.task import Task


def take_share(task: Task, share: float) -> Task:
    """Return the task with a share of the training clips of each class, at least one; epochs stay as long.

    The data set and the fold alone decide which: a smaller share is a part of a larger one, under any seed.
    """
    if share == 1:
        return task
    keys_of: dict[int, list[str]] = {}
    for key in sorted(task.train, key=lambda key: (position_random("train share", task.name, key).random(), key)):
        keys_of.setdefault(int(task.truth[key]) if task.is_classification else 0, []).append(key)
    taken = {key for keys in keys_of.values() for key in keys[: max(1, round(share * len(keys)))]}
    train = tuple(key for key in task.train if key in taken)
    summary = {**task.summary, "training_clips_left_out": len(task.train) - len(train)}
    return replace(task, train=train, epoch_clips=len(task.train), summary=summary)
