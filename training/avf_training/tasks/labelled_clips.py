"""The labelled clips of a data set as shards hold them: which have a label that the task asks for, and which not.

What is counted here is set beside the published counts: a difference is told, never hidden.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from avf_shards.config import unknown_key
from avf_shards.errors import UserError

from avf_training.tasks.catalog import Dataset
from avf_training.tasks.folds import FoldClip
from avf_training.tasks.label_alignment import three_classes
from avf_training.tasks.labelled_shards import LabelledClip, LabelledShards

_NAMED_MOST = 5


@dataclass(frozen=True, kw_only=True)
class LabelledClips:
    """The clips of a data set. number: of a key's clip on the shelf. targets: of a regression, by key, (D,) floats.

    mute: keys of clips without sound. group: what belongs together when answers are averaged (AVCAffe's tasks).
    excluded: native label -> clips with it that the task does not ask for.
    """

    data: Dataset
    clips: tuple[FoldClip, ...]
    number: Mapping[str, int]
    video_ids: Mapping[str, str]
    targets: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    mute: frozenset[str] = frozenset()
    excluded: Mapping[str, int] = field(default_factory=dict)

    @property
    def per_label(self) -> dict[str, int]:
        """Label -> clips, in the vocabulary's order."""
        counts = Counter(clip.label for clip in self.clips)
        return {label: counts[label] for label in self.data.labels}

    def differences(self) -> list[str]:
        """Where the counts are not the published ones, one sentence each."""
        told = []
        if self.data.clips and len(self.clips) != self.data.clips:
            told.append(f"{self.data.name}: {len(self.clips)} clips, {self.data.clips} are published")
        for label, expected in self.data.per_label.items():
            if self.per_label.get(label, 0) != expected:
                told.append(f"{self.data.name}: {self.per_label.get(label, 0)} {label}, {expected} are published")
        return told

    def classes(self) -> dict[str, int]:
        """Key -> class."""
        index = {label: number for number, label in enumerate(self.data.labels)}
        return {clip.key: index[clip.label] for clip in self.clips}


def read_labelled_clips(shelf: LabelledShards, data: Dataset) -> LabelledClips:
    """The clips of `data` on the shelf. Raises UserError naming a clip whose label is missing or none of its own."""
    clips, number, video_ids, targets = [], {}, {}, {}
    mute, excluded, seen = set(), Counter[str](), Counter[str]()
    unknown: dict[str, list[str]] = {}
    for one in shelf.clips():
        seen[one.source] += 1
        if one.source != data.source:
            continue
        labels = _labels(one, data)
        if one.key in number:
            raise UserError(f"{one.key}: is in two of the folders of shards; name each corpus once")
        folds = labels.get("folds") or {}
        if data.task == "dimensions":
            label, targets[one.key] = "", _numbers(one.key, labels["values"], data)
        else:
            native = labels["values"].get(data.value)
            found = _class(data, native)
            if found is None:
                excluded[str(native)] += 1
                continue
            label = found
            if label not in data.labels:
                unknown.setdefault(label, []).append(one.key)
        clips.append(
            FoldClip(
                key=one.key, label=label, subject=labels.get("subject"), session=labels.get("session"), folds=folds
            )
        )
        number[one.key], video_ids[one.key] = one.number, one.video_id
        if one.mute:
            mute.add(one.key)
    if unknown:
        label, keys = next(iter(unknown.items()))
        message = unknown_key(keys[0], label, list(data.labels), f"label {label!r} of {data.name}")
        raise UserError(f"{message} ({sum(map(len, unknown.values()))} such clips)")
    if not clips:
        held = ", ".join(f"{name} ({count})" for name, count in sorted(seen.items()))
        raise UserError(f"{data.name}: no clip of source {data.source!r} in these shards; they hold {held}")
    return LabelledClips(
        data=data,
        clips=tuple(clips),
        number=number,
        video_ids=video_ids,
        targets=targets,
        mute=frozenset(mute),
        excluded=dict(excluded),
    )


def check_classes(data: Dataset, train: Sequence[str], classes: Mapping[str, int], what: str) -> None:
    """Every class must have a clip to learn from. Raises UserError naming those that have none."""
    there = {classes[key] for key in train}
    empty = [label for number, label in enumerate(data.labels) if number not in there]
    if empty:
        few = ", ".join(empty[:_NAMED_MOST]) + (" ..." if len(empty) > _NAMED_MOST else "")
        raise UserError(f"{data.name}, {what}: no clip to train on for {few}; a class without one cannot be learned")


def check_sound(data: Dataset, keys: Sequence[str], mute: frozenset[str], modalities: str) -> list[str]:
    """Keys that can be used with these modalities. Raises UserError when none has sound and sound is asked for."""
    if "a" not in modalities or not keys:
        return list(keys)
    heard = [key for key in keys if key not in mute]
    if not heard:
        raise UserError(
            f"{data.name}: no clip has sound ({keys[0]} and {len(keys) - 1} more have none); "
            "a study with sound cannot use them: take modalities v"
        )
    return heard


def _labels(clip: LabelledClip, data: Dataset) -> Mapping[str, Any]:
    if clip.labels is None:
        raise UserError(
            f"{clip.key}: its record has no labels; curate it with avf-curate run --source {data.source}=DIR "
            "--recipe labelled"
        )
    return clip.labels


def _class(data: Dataset, native: object) -> str | None:
    """The label of the task; None where the data set has it but the task leaves it out."""
    if not isinstance(native, str) or not native:
        return None
    if data.task == "micro_expression":
        return three_classes(data.source, native)
    native = data.merged.get(native, native)
    return None if native in data.excluded else native


def _numbers(key: str, values: Mapping[str, Any], data: Dataset) -> tuple[float, ...]:
    found = []
    for name in data.dimensions:
        try:
            number = float(values[name])
        except (KeyError, ValueError, TypeError):
            raise UserError(f"{key}: its {name} is {values.get(name)!r}, not a number") from None
        if not np.isfinite(number):
            raise UserError(f"{key}: its {name} is {number}; a dimension is a finite number")
        found.append(number)
    return tuple(found)
