"""Training, validation and test clips of one run: one fold of a data set, or a transfer between two data sets.

The labelled hybrid of several data sets is in hybrid.py.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from avf_shards.errors import UserError
from avf_shards.sampling.stream_order import position_random
from avf_shards.settings.config import bind

from avf_training.models.config import Modalities
from avf_training.tasks.catalog import DATASETS, DETECTION_LABELS, Dataset
from avf_training.tasks.folds import Fold, has_values, make_folds, refuse_torn_originals
from avf_training.tasks.label_alignment import HYBRID_LABELS
from avf_training.tasks.labelled_clips import LabelledClips, check_classes, read_labelled_clips, usable_keys
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.tasks.relations import ClipIdentity, ExcludedClips, assert_no_leakage, group_related

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Task:
    """The clips that a run trains on, selects its epoch by and is tested on."""

    name: str  # data set and fold, as in mafw_11/fold_1
    data: Dataset  # labels, metrics and kind of the task
    shards: LabelledShards  # where the clips of all three parts are read from
    index_of: Mapping[str, int]  # key -> index in the shards
    truth: Mapping[str, Any]  # key -> class index, or (D,) targets
    train: tuple[str, ...]  # keys of the clips that are trained on
    validation: tuple[str, ...]  # part of the training fold, to select the epoch by; may be empty
    test: tuple[str, ...]  # may be empty
    group_of: Mapping[str, str] = field(default_factory=dict)  # key -> session or file that has one prediction
    identity_of: Mapping[str, ClipIdentity] = field(default_factory=dict)  # key -> what it shares with other corpora
    epoch_clips: int | None = None  # of an epoch, where `train` is a share of the clips (train_share.py); None: all
    summary: Mapping[str, Any] = field(default_factory=dict)  # counts for the run folder

    @property
    def outputs(self) -> int:
        """Number of outputs of a model of this task."""
        return len(self.data.labels) or len(self.data.dimensions)

    @property
    def is_classification(self) -> bool:
        return self.data.task != "dimensions"

    def identity(self) -> dict[str, Any]:
        """Return the values that identify this task in run.json: data set, fold and the clips of each part."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        parts["truth"] = tuple(self.truth[key] for key in self.test)
        values = {"task": self.name, "data": self.data.frozen(), "corpus": self.shards.corpus.digest}
        return values | {name: list(keys) for name, keys in parts.items()}


def task_from_frozen(values: Mapping[str, Any], shards: LabelledShards) -> Task:
    """Return the task of a run from its run.json, for testing only: training and validation are empty.

    Raises UserError that names a test clip which is not in these shards.
    """
    data, test = bind(Dataset, values["data"]), set(values["test"])
    index_of, group_of = {}, {}
    for clip in shards.clips():
        if clip.key in test:
            index_of[clip.key] = clip.index
            session = clip.labels.session if clip.labels else None
            group_of[clip.key] = clip.video_id if data.task == "detection" else session or clip.key
    missing = sorted(test - index_of.keys())
    if missing:
        raise UserError(
            f"{values['task']}: {missing[0]} and {len(missing) - 1} more test clips are not in these shards"
        )
    return Task(
        name=values["task"],
        data=data,
        shards=shards,
        index_of=index_of,
        truth=dict(zip(values["test"], values["truth"], strict=True)),
        train=(),
        validation=(),
        test=tuple(values["test"]),
        group_of=group_of if data.averaged_over == "session" or data.task == "detection" else {},
    )


def fold_task(
    data: Dataset, shards: LabelledShards, number: int, modalities: Modalities, validation_share: float
) -> Task:
    """Return fold `number` of a data set as a task.

    Raises UserError that names the clip, the class or the subject that breaks a rule.
    """
    clips = read_labelled_clips(shards, data)
    fold = find_fold(clips, number)
    parts = (*split_validation(clips, fold.train, validation_share), fold.test)
    train, validation, test = (tuple(usable_keys(data, keys, clips.silent, modalities)) for keys in parts)
    if data.task != "dimensions":
        check_classes(data, train, clips.classes(), f"fold {number}")
    task = Task(
        name=f"{data.name}/fold_{number}",
        data=data,
        shards=shards,
        index_of=clips.index_of,
        truth=clips.targets or clips.classes(),
        train=train,
        validation=validation,
        test=test,
        group_of=_groups_of(clips),
        identity_of=clips.identity_of,
        summary={
            "clips": len(clips.clips),
            "per_label": clips.per_label,
            "excluded": dict(clips.excluded),
            "without_sound": len(clips.silent) if "a" in modalities else 0,
            "differences": clips.differences(),
        },
    )
    log.info("%s: %d training, %d validation, %d test clips", task.name, len(train), len(validation), len(test))
    return task


def _groups_of(clips: LabelledClips) -> dict[str, str]:
    """Return what the prediction of each clip is put together by: its file in detection, its session, or nothing."""
    if clips.data.task == "detection":
        return {clip.key: clip.recording or clip.key for clip in clips.clips}
    if clips.data.averaged_over == "session":
        return {clip.key: clip.session or clip.key for clip in clips.clips}
    return {}


def find_fold(clips: LabelledClips, number: int) -> Fold:
    """Return one fold. Raises UserError for a number that the data set does not have."""
    folds = make_folds(clips.data, clips.clips)
    if not 1 <= number <= len(folds):
        raise UserError(f"{clips.data.name}: has folds 1 to {len(folds)}, not {number}")
    return folds[number - 1]


def split_validation(
    clips: LabelledClips, train: Sequence[str], share: float
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split a training fold into training and validation keys; `share` of the clips is for validation.

    Where people are known, all that is related to a person (relations.py) goes to one part. Where nobody is known, or
    less than a tenth of the clips may leave in this way, the recordings of each label are split alike, each with all
    its clips. What holds more than half of the clips stays in training, and so does a part of each label. The fold
    alone decides, no seed of a recipe: each stage must keep the same clips out of training, and the validation clips of
    a smaller share are a subset of those of a larger one. Where the owners name their validation clips, these are taken
    whatever the share. Raises UserError where an original and a fake of it are in both parts.
    """
    if clips.data.validated:
        return _owners_validation(clips, train)
    if not share:
        return tuple(train), ()
    identities = [clips.identity_of[key] for key in sorted(train)]
    groups = group_related(identities) if any(identity.person for identity in identities) else {}
    keys_of = {_group_name(clips, group): [clip.key for clip in group] for group in groups.values()}
    movable = _order_movable(clips, keys_of)
    validation: set[str] = set()
    # The share itself does not count here, so that a smaller one has a subset.
    if 10 * sum(len(keys_of[name]) for name in movable) >= len(train):
        for name in movable:
            if len(validation) >= share * len(train):
                break
            validation |= set(keys_of[name])
    else:
        label_of = {clip.key: clip.label for clip in clips.clips}
        recordings = {keys[0]: keys for keys in _clips_of_recordings(clips, identities)}
        movable = _order_movable(clips, recordings)
        for label in sorted({label_of[key] for key in train}):
            number = sum(label_of[first] == label for first in recordings)
            count = min(number - 1, max(1, round(share * number)))
            of_label = [first for first in movable if label_of[first] == label]
            validation |= {key for first in of_label[: max(count, 0)] for key in recordings[first]}
    return tuple(key for key in train if key not in validation), tuple(sorted(validation))


def _owners_validation(clips: LabelledClips, train: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split a training fold as the owners do, by the row's `validated`."""
    named = {clip.key for clip in clips.clips if has_values(clip, clips.data.validated)}
    learned, validation = (tuple(sorted(key for key in train if (key in named) == chosen)) for chosen in (False, True))
    if not validation:
        raise UserError(f"{clips.data.name}: no clip has the values of validated, {dict(clips.data.validated)}")
    refuse_torn_originals(clips.clips, learned, validation, f"{clips.data.name}: to select the epoch")
    return learned, validation


def _order_movable(clips: LabelledClips, parts: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the names of the parts that may go to validation, in random order.

    Training keeps what holds more than half of all clips, and of each label the last part in this order.

    Args:
        parts: name -> keys; together they are the clips of a training fold.
    """
    label_of = {clip.key: clip.label for clip in clips.clips}
    labels_of = {name: {label_of[key] for key in keys} for name, keys in parts.items()}
    order, total = _random_order(clips, set(parts)), sum(map(len, parts.values()))
    staying = {name for name in order if 2 * len(parts[name]) > total}
    for label in sorted(set().union(*labels_of.values())):
        having = [name for name in order if label in labels_of[name]]
        if staying.isdisjoint(having):
            staying.add(having[-1])
    return [name for name in order if name not in staying]


def _group_name(clips: LabelledClips, group: Sequence[ClipIdentity]) -> str:
    """Return the name that orders a group of related clips: the data set's own of its first person, or else a key."""
    people = [clip.person.partition("/")[2] for clip in group if clip.person]
    return min(people) if people else min(clip.key for clip in group)


def _clips_of_recordings(clips: LabelledClips, identities: Sequence[ClipIdentity]) -> list[list[str]]:
    """Return the sorted keys of each recording: of its film, where the owners name it, and of its group, where folds
    are made by it. A recording is named after its first clip, so that its label and its order are those of this clip.
    """
    group_of = {clip.key: clip.group for clip in clips.clips} if clips.data.split == "group" else {}
    # People count for nothing here; a group counts as a film does, and may hold several of them.
    nameless = [replace(clip, person=group_of.get(clip.key) or None) for clip in identities]
    return [sorted(clip.key for clip in group) for group in group_related(nameless).values()]


def _random_order(clips: LabelledClips, names: set[str]) -> list[str]:
    """Return names in a random order seeded by the data set; other names do not change the order of two."""
    # "held out" is a part of the seed: another word would give other validation clips.
    return sorted(names, key=lambda name: position_random("held out", clips.data.name, name).random())


def _alignment(data: Dataset) -> Mapping[str, str]:
    """Return the labels in which data sets are compared; reals and fakes are the same everywhere."""
    return {label: label for label in DETECTION_LABELS} if data.task == "detection" else data.alignment


def transfer_dataset(source: Dataset, target: Dataset) -> Dataset:
    """Return the data set that a model trained on `source` is tested on: `target` in the labels that both have.

    Raises UserError where a data set has no alignment.
    """
    alignments = [_alignment(data) for data in (source, target)]
    if not all(alignments) or (source.task == "detection") != (target.task == "detection"):
        known = ", ".join(data.name for data in DATASETS if data.alignment)
        raise UserError(
            f"{source.name} to {target.name}: labels of both must be aligned; known: {known}, or both detect fakes"
        )
    order = DETECTION_LABELS if target.task == "detection" else HYBRID_LABELS
    shared = tuple(label for label in order if all(label in each.values() for each in alignments))
    return replace(target, name=f"{source.name}_to_{target.name}", labels=shared, per_label={}, clips=0)


def transfer_task(
    source: Dataset, target: Dataset, shards: LabelledShards, modalities: Modalities, validation_share: float
) -> Task:
    """Return the task of training on all of `source` and testing on all of `target`, in the labels that both have.

    Clips of `source` that share a recording, person or film with a tested clip are left out (relations.py): MER24 holds
    MER-MULTI's clips. See AVF-MAE++, Table 26. Raises UserError where a data set has no alignment, where a class has no
    clip, and where nothing is left to train on.
    """
    data = transfer_dataset(source, target)
    alignments, shared = [_alignment(each) for each in (source, target)], data.labels
    truth: dict[str, int] = {}
    index_of: dict[str, int] = {}
    parts: list[list[str]] = []
    datasets = [read_labelled_clips(shards, data) for data in (source, target)]
    for clips, alignment in zip(datasets, alignments, strict=True):
        label_of = {clip.key: alignment.get(clip.label) for clip in clips.clips}
        aligned = [key for key, label in label_of.items() if label in shared]
        parts.append(usable_keys(clips.data, sorted(aligned), clips.silent, modalities))
        truth |= {key: shared.index(str(label_of[key])) for key in aligned}
        index_of |= {key: clips.index_of[key] for key in aligned}
    identity_of = {key: datasets[part].identity_of[key] for part, keys in enumerate(parts) for key in keys}
    tested = ExcludedClips(identity_of[key] for key in parts[1])
    related = {key for key in parts[0] if tested.overlap(datasets[0].identity_of[key])}
    if related and len(related) == len(parts[0]):
        raise UserError(
            f"{source.name} to {target.name}: each of the {len(related)} clips to train on shows a recording or a "
            "person that is tested; train on a data set that has others"
        )
    unrelated = [key for key in parts[0] if key not in related]
    train, validation = split_validation(datasets[0], unrelated, validation_share)
    assert_no_leakage(
        (identity_of[key] for key in unrelated), (identity_of[key] for key in parts[1]), f"{target.name}, all clips"
    )
    check_classes(data, train, truth, "training")
    return Task(
        name=f"{data.name}/fold_1",
        data=data,
        shards=shards,
        index_of=index_of,
        truth=truth,
        train=train,
        validation=validation,
        test=tuple(parts[1]),
        group_of=_groups_of(datasets[0]) | _groups_of(datasets[1]) if data.task == "detection" else {},
        identity_of=identity_of,
        summary={
            "trained_on": len(unrelated),
            "tested_on": len(parts[1]),
            "labels": list(shared),
            "left_out_as_related": len(related),
        },
    )
