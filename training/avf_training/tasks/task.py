"""What one run learns and is tested on: a fold of a data set, a labelled hybrid, or one set for another."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from avf_shards.config import bind
from avf_shards.errors import UserError
from avf_shards.sampling.stream_order import position_random

from avf_training.models.config import Modalities
from avf_training.tasks.catalog import Dataset, find_dataset
from avf_training.tasks.folds import Fold, make_folds
from avf_training.tasks.label_alignment import (
    ALIGNED,
    HYBRID,
    MICRO,
    MICRO_SETS,
    TRANSFER,
    ClipOrigin,
    ExcludedClips,
    assert_no_leakage,
)
from avf_training.tasks.labelled_clips import LabelledClips, check_classes, check_sound, read_labelled_clips
from avf_training.tasks.labelled_shards import LabelledShards

RESERVED = 0.1  # of a target's training fold, kept from its hybrid for fine-tuning to choose by
_SAME_RECORDINGS = {"mer_multi": "mer2023", "mer24": "mer2023"}  # sources that hold one another's clips by name


@dataclass(frozen=True, kw_only=True)
class Task:
    """train, validation: parts of the training fold, the second to choose the epoch by; test: may be empty.

    truth: key -> class, or dimensions. number: of a key's clip on the shelf. group: key -> whose answers are averaged.
    told: what a run writes down of it.
    """

    name: str
    data: Dataset
    shelf: LabelledShards
    number: Mapping[str, int]
    truth: Mapping[str, Any]
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    group: Mapping[str, str] = field(default_factory=dict)
    told: Mapping[str, Any] = field(default_factory=dict)

    @property
    def outputs(self) -> int:
        return len(self.data.labels) or len(self.data.dimensions)

    @property
    def classes(self) -> bool:
        return self.data.task != "dimensions"

    def identity(self) -> dict[str, Any]:
        """What makes it this task: data, fold and who is where."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        parts["truth"] = tuple(self.truth[key] for key in self.test)
        named = {"task": self.name, "data": asdict(self.data), "corpus": self.shelf.corpus.digest}
        return named | {name: list(keys) for name, keys in parts.items()}


def task_from_frozen(values: Mapping[str, Any], shelf: LabelledShards) -> Task:
    """The task of a run from what it wrote down, without its truth on the way: only its test can be done again."""
    data, keys = bind(Dataset, values["data"]), set(values["test"])
    number, group = {}, {}
    for one in shelf.clips():
        if one.key in keys:
            number[one.key] = one.number
            group[one.key] = (one.labels or {}).get("session") or one.key
    missing = sorted(keys - number.keys())
    if missing:
        raise UserError(
            f"{values['task']}: {missing[0]} and {len(missing) - 1} more test clips are not in these shards"
        )
    truth = dict(zip(values["test"], values["truth"], strict=True))
    averaged = group if data.averaged_over == "session" else {}
    return Task(
        name=values["task"],
        data=data,
        shelf=shelf,
        number=number,
        truth=truth,
        train=(),
        validation=(),
        test=tuple(values["test"]),
        group=averaged,
    )


def fold_task(
    data: Dataset, shelf: LabelledShards, number: int, modalities: Modalities, validation_share: float
) -> Task:
    """Fold `number` of a data set. Raises UserError naming the clip, the class or the subject that breaks a rule."""
    found = read_labelled_clips(shelf, data)
    fold = find_fold(found, number)
    parts = (*split_validation(found, fold.train, validation_share), fold.test)
    learned, kept_out, test = (tuple(check_sound(data, part, found.mute, modalities)) for part in parts)
    truth: Mapping[str, Any] = found.targets or found.classes()
    if data.task != "dimensions":
        check_classes(data, learned, found.classes(), f"fold {number}")
    group = {clip.key: clip.session or clip.key for clip in found.clips} if data.averaged_over == "session" else {}
    told = {
        "clips": len(found.clips),
        "per_label": found.per_label,
        "excluded": dict(found.excluded),
        "without_sound": len(found.mute) if "a" in modalities else 0,
        "differences": found.differences(),
    }
    name = f"{data.name}/fold_{number}"
    return Task(
        name=name,
        data=data,
        shelf=shelf,
        number=found.number,
        truth=truth,
        train=learned,
        validation=kept_out,
        test=test,
        group=group,
        told=told,
    )


def find_fold(found: LabelledClips, number: int) -> Fold:
    """One fold. Raises UserError for a number that there is not."""
    folds = make_folds(found.data, found.clips)
    if not 1 <= number <= len(folds):
        raise UserError(f"{found.data.name}: has folds 1 to {len(folds)}, not {number}")
    return folds[number - 1]


def split_validation(
    found: LabelledClips, train: Sequence[str], share: float
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A training fold in two: to learn from, and `share` of it to choose by; whole people where they are known.

    Without subjects the clips of each label are split alike. Nothing but the fold decides, no recipe's seed: each stage
    must keep out the same clips, and a smaller share is a part of a larger one.
    """
    if not share:
        return tuple(train), ()
    clip_of = {clip.key: clip for clip in found.clips}
    subjects = _drawn(found, {clip_of[key].subject or "" for key in train})
    kept: set[str] = set()
    if len(subjects) > 1:
        for subject in subjects[:-1]:  # somebody must be left to learn from
            if len(kept) >= share * len(train):
                break
            kept |= {key for key in train if (clip_of[key].subject or "") == subject}
    else:
        for label in sorted({clip_of[key].label for key in train}):
            mine = _drawn(found, {key for key in train if clip_of[key].label == label})
            kept |= set(mine[: min(len(mine) - 1, max(1, round(share * len(mine))))])
    return tuple(key for key in train if key not in kept), tuple(sorted(kept))


def _drawn(found: LabelledClips, names: set[str]) -> list[str]:
    """Names in an order drawn for the data set; each has its place whoever else is there."""
    return sorted(names, key=lambda name: position_random("held out", found.data.name, name).random())


def hybrid_task(
    target: Dataset,
    shelf: LabelledShards,
    number: int,
    *,
    modalities: Modalities,
    validation_share: float,
    joining: Sequence[Dataset] = (),
) -> Task:
    """The labelled hybrid for fold `number` of `target`: every aligned set on the shelf, without the fold's test clips.

    Also left out: what fine-tuning on the fold keeps to choose by, up to a share of RESERVED. joining: rows of yours,
    with their alignment. Raises UserError when the guard finds a leak.
    """
    micro = target.task == "micro_expression"
    labels = MICRO if micro else HYBRID
    tables: dict[str, Mapping[str, str]] = {data.name: data.aligned for data in (target, *joining) if data.aligned}
    tables |= {} if micro else dict(ALIGNED)
    if not micro and target.name not in tables and target.name not in TRANSFER:
        raise UserError(f"{target.name}: its labels are in no hybrid; post-pre-train for one of {', '.join(tables)}")
    wrong = sorted({to for table in tables.values() for to in table.values()} - set(HYBRID))
    if wrong:
        raise UserError(f"aligned: {wrong[0]!r} is no label of the hybrid; it has {', '.join(HYBRID)}")
    yours = {data.name: data for data in (target, *joining)}
    own = read_labelled_clips(shelf, target)
    fold = find_fold(own, number)
    _, chosen_by = split_validation(own, fold.train, RESERVED)
    test = _samples(target.source, own, fold.test)
    kept_away = {*fold.test, *chosen_by}
    members: dict[str, dict[str, int]] = {}
    truth: dict[str, int] = {}
    where: dict[str, int] = {}
    samples: list[ClipOrigin] = []
    excluded = 0
    present = {source.name for source in shelf.corpus.sources}
    for name in MICRO_SETS if micro else tables:
        data = yours[name] if name in yours else find_dataset(name)
        if data.source not in present or (data.source == target.source and name != target.name):
            continue
        found = own if name == target.name else read_labelled_clips(shelf, data)
        label_of = {clip.key: clip.label for clip in found.clips}
        keys = check_sound(data, list(label_of), found.mute, modalities)
        near = [one for one in test if one.corpus == _corpus(data.source)]
        for key, sample in zip(keys, _samples(data.source, found, keys), strict=True):
            aligned = label_of[key] if micro else tables[name].get(label_of[key])
            if aligned is None or key in truth:
                continue
            if key in kept_away or are_related(sample, near):
                excluded += 1
                continue
            truth[key], where[key] = labels.index(aligned), found.number[key]
            samples.append(sample)
            mine = members.setdefault(name, dict.fromkeys(labels, 0))
            mine[aligned] += 1
    assert_no_leakage(samples, ExcludedClips(test), f"{target.name}, fold {number}")
    if not truth:
        raise UserError(f"{target.name}: no aligned clip is left for its hybrid on these shards")
    there = tuple(label for label in labels if any(counts[label] for counts in members.values()))
    data = Dataset(
        name=f"hybrid_{len(labels)}",
        title="labelled hybrid",
        source="hybrid",
        task=target.task,
        labels=there,
        folds=1,
        split="random",
        metrics=target.metrics,
        clips=0,
    )
    renumbered = {key: there.index(labels[value]) for key, value in truth.items()}
    lots = sorted(renumbered, key=lambda key: position_random("hybrid", target.name, number, key).random())
    kept = lots[: round(validation_share * len(lots))]
    train = tuple(sorted(renumbered.keys() - set(kept)))
    told = {"members": members, "excluded_for_the_test_fold": excluded, "guarded_against": len(fold.test)}
    name = f"hybrid for {target.name}/fold_{number}"
    return Task(
        name=name,
        data=data,
        shelf=shelf,
        number=where,
        truth=renumbered,
        train=train,
        validation=tuple(sorted(kept)),
        test=(),
        group={},
        told=told,
    )


def are_related(sample: ClipOrigin, test: Sequence[ClipOrigin]) -> bool:
    """Whether a clip shows a test clip's recording or person. The guard asks again in its own way, and stops a leak."""
    return any(
        one.corpus == sample.corpus
        and (one.video_id == sample.video_id or (one.subject is not None and one.subject == sample.subject))
        for one in test
    )


def transfer_task(
    source: Dataset, target: Dataset, shelf: LabelledShards, modalities: Modalities, validation_share: float
) -> Task:
    """Trained on all of `source`, tested on all of `target`, in the labels both have (AVF-MAE++ Table 26)."""
    aligned = {**ALIGNED, **TRANSFER}
    if not {source.name, target.name} <= aligned.keys():
        raise UserError(f"{source.name} to {target.name}: labels of both must be aligned; known: {', '.join(aligned)}")
    tables = aligned[source.name], aligned[target.name]
    shared = [label for label in HYBRID if label in tables[0].values() and label in tables[1].values()]
    both = [read_labelled_clips(shelf, data) for data in (source, target)]
    truth: dict[str, int] = {}
    where: dict[str, int] = {}
    parts: list[list[str]] = []
    for found, table in zip(both, tables, strict=True):
        mine = {clip.key: table.get(clip.label) for clip in found.clips}
        usable = [key for key, label in mine.items() if label in shared]
        parts.append(check_sound(found.data, sorted(usable), found.mute, modalities))
        truth |= {key: shared.index(str(mine[key])) for key in usable}
        where |= {key: found.number[key] for key in usable}
    learned, kept = split_validation(both[0], parts[0], validation_share)
    data = replace(target, name=f"{source.name}_to_{target.name}", labels=tuple(shared), per_label={}, clips=0)
    check_classes(data, learned, truth, "training")
    told = {"trained_on": len(parts[0]), "tested_on": len(parts[1]), "labels": shared}
    return Task(
        name=f"{data.name}/fold_1",
        data=data,
        shelf=shelf,
        number=where,
        truth=truth,
        train=learned,
        validation=kept,
        test=tuple(parts[1]),
        group={},
        told=told,
    )


def _corpus(source: str) -> str:
    return _SAME_RECORDINGS.get(source, source)


def _samples(source: str, found: LabelledClips, keys: Sequence[str]) -> list[ClipOrigin]:
    subject_of = {clip.key: clip.subject for clip in found.clips}
    corpus = _corpus(source)
    return [ClipOrigin(key=key, corpus=corpus, video_id=found.video_ids[key], subject=subject_of[key]) for key in keys]
