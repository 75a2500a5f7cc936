"""The clips of one data set in the shards: those with a label that the task asks for, and how many were excluded.

Counts are reported beside the published counts, and every difference is printed.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from avf_shards.errors import UserError
from avf_shards.schema.labels import Labels
from avf_shards.settings.config import describe_unknown_key
from avf_shards.text import count_noun

from avf_training.tasks.catalog import Dataset
from avf_training.tasks.folds import FoldClip
from avf_training.tasks.label_alignment import micro_expression_class
from avf_training.tasks.labelled_shards import LabelledClip, LabelledShards
from avf_training.tasks.relations import ClipIdentity, identify_clip

log = logging.getLogger(__name__)
_NOT_ASKED_FOR = "left out by `only`"  # beside native labels, in the counts of clips that are not asked for
_MAX_NAMES = 5  # labels that an error names


@dataclass(frozen=True, kw_only=True)
class LabelledClips:
    """The labelled clips of a data set."""

    data: Dataset  # row of the catalog
    clips: tuple[FoldClip, ...]  # those with a label that the task asks for
    index_of: Mapping[str, int]  # key -> index in the shards
    identity_of: Mapping[str, ClipIdentity]  # key -> recording, person and film that the clip shows
    targets: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # key -> (D,) targets of a regression
    silent: frozenset[str] = frozenset()  # keys of clips without sound
    excluded: Mapping[str, int] = field(default_factory=dict)  # native label -> clips the task does not ask for

    @property
    def per_label(self) -> dict[str, int]:
        """Number of clips of each label, in the order of the labels."""
        counts = Counter(clip.label for clip in self.clips)
        return {label: counts[label] for label in self.data.labels}

    def differences(self) -> list[str]:
        """Return a sentence for each count that differs from the published count."""
        sentences = []
        if self.data.clips and len(self.clips) != self.data.clips:
            sentences.append(
                f"{self.data.name}: {count_noun(len(self.clips), 'clip')}, {self.data.clips} are published"
            )
        for label, expected in self.data.per_label.items():
            count = self.per_label.get(label, 0)
            if count != expected:
                sentences.append(f"{self.data.name}: {count} {label}, {expected} are published")
        return sentences

    def classes(self) -> dict[str, int]:
        """Return the class index of every key."""
        index = {label: number for number, label in enumerate(self.data.labels)}
        return {clip.key: index[clip.label] for clip in self.clips}


def read_labelled_clips(shards: LabelledShards, data: Dataset) -> LabelledClips:
    """Return the clips of `data` in the shards.

    Raises UserError that names a clip without a record of labels, with a label the data set does not have, or that is
    in two folders of shards.
    """
    clips: list[FoldClip] = []
    index_of: dict[str, int] = {}
    identity_of: dict[str, ClipIdentity] = {}
    targets: dict[str, tuple[float, ...]] = {}
    silent: set[str] = set()
    excluded, clips_of_source = Counter[str](), Counter[str]()
    unknown: dict[str, list[str]] = {}
    for clip in shards.clips():
        clips_of_source[clip.source] += 1
        if clip.source != data.source:
            continue
        labels = _require_labels(clip, data)
        if data.task == "detection":
            _require_forgery(clip, labels)
        if clip.key in index_of:
            raise UserError(f"{clip.key}: is in two of the folders of shards; name each corpus once")
        label = ""
        if data.task == "dimensions":
            targets[clip.key] = _read_targets(clip.key, labels.values, data)
        else:
            native = labels.values.get(data.label_field)
            known = _class_label(data, native)
            if known is None:
                excluded[str(native)] += 1
                continue
            if not _is_asked_for(labels, data.only):
                excluded[_NOT_ASKED_FOR] += 1
                continue
            label = known
            if label not in data.labels:
                unknown.setdefault(label, []).append(clip.key)
        clips.append(_fold_clip(clip, label, labels))
        index_of[clip.key], identity_of[clip.key] = clip.index, identify_clip(clip, data.same_recordings_as)
        if clip.silent:
            silent.add(clip.key)
    _refuse_unknown_labels(data, unknown)
    if not clips:
        held = ", ".join(f"{name} ({count})" for name, count in sorted(clips_of_source.items()))
        raise UserError(f"{data.name}: no clip of source {data.source!r} in these shards; they hold {held}")
    log.info("%s: %d labelled clips, %d excluded by label %s", data.name, len(clips), excluded.total(), dict(excluded))
    return LabelledClips(
        data=data,
        clips=tuple(clips),
        index_of=index_of,
        identity_of=identity_of,
        targets=targets,
        silent=frozenset(silent),
        excluded=dict(excluded),
    )


def check_classes(data: Dataset, train: Sequence[str], classes: Mapping[str, int], part: str) -> None:
    """Raise UserError that names the classes without a clip to train on."""
    present = {classes[key] for key in train}
    empty = [label for number, label in enumerate(data.labels) if number not in present]
    if empty:
        names = ", ".join(empty[:_MAX_NAMES]) + (" ..." if len(empty) > _MAX_NAMES else "")
        raise UserError(
            f"{data.name}, {part}: no clip to train on for {names}; a class without a training clip cannot be learned"
        )


def usable_keys(data: Dataset, keys: Sequence[str], silent: frozenset[str], modalities: str) -> list[str]:
    """Return the keys that can be used with these modalities: clips without sound cannot be used with audio.

    Raises UserError when audio is asked for and no clip has sound.
    """
    # A fake without sound must be answered like any other: a detector hears silence.
    if "a" not in modalities or not keys or data.task == "detection":
        return list(keys)
    audible = [key for key in keys if key not in silent]
    if not audible:
        raise UserError(
            f"{data.name}: no clip has sound ({keys[0]} and {len(keys) - 1} more have none); "
            "a model with audio cannot use them; set modalities=v"
        )
    if len(audible) < len(keys):
        log.info("%s: %d of %d clips are excluded, they have no sound", data.name, len(keys) - len(audible), len(keys))
    return audible


def _require_labels(clip: LabelledClip, data: Dataset) -> Labels:
    if clip.labels is None:
        raise UserError(
            f"{clip.key}: its record has no labels; curate it with avf-curate run --source {data.source}=DIR "
            "--recipe labelled"
        )
    return clip.labels


def _require_forgery(clip: LabelledClip, labels: Labels) -> None:
    if labels.forgery is None:
        raise UserError(
            f"{clip.key}: its record does not say of which original it is, and what was forged; curate {clip.source!r} "
            "as a corpus of fakes, or with a labels.csv that has the columns file, fake and original"
        )


def _is_asked_for(labels: Labels, only: Mapping[str, Sequence[str]]) -> bool:
    return all(labels.values.get(name) in values for name, values in only.items())


def _fold_clip(clip: LabelledClip, label: str, labels: Labels) -> FoldClip:
    return FoldClip(
        key=clip.key,
        label=label,
        subject=labels.subject,
        session=labels.session,
        recording=clip.video_id,
        group=clip.group_id,
        folds=labels.folds,
        original=labels.forgery.original if labels.forgery else None,
        values=labels.values,
    )


def _refuse_unknown_labels(data: Dataset, unknown: Mapping[str, Sequence[str]]) -> None:
    if unknown:
        label, keys = next(iter(unknown.items()))
        message = describe_unknown_key(keys[0], label, list(data.labels), f"label {label!r} of {data.name}")
        raise UserError(f"{message} ({sum(map(len, unknown.values()))} such clips)")


def _class_label(data: Dataset, native: object) -> str | None:
    """Return the label of the task that a native label counts as, or None where the task excludes it."""
    if not isinstance(native, str) or not native:
        return None
    if data.task == "micro_expression":
        return micro_expression_class(native, data.excluded)
    native = data.merged.get(native, native)
    return None if native in data.excluded else native


def _read_targets(key: str, values: Mapping[str, Any], data: Dataset) -> tuple[float, ...]:
    targets = []
    for name in data.dimensions:
        try:
            target = float(values[name])
        except (KeyError, ValueError, TypeError):
            raise UserError(f"{key}: its {name} is {values.get(name)!r}, not a number") from None
        if not np.isfinite(target):
            raise UserError(f"{key}: its {name} is {target}; a dimension is a finite number")
        targets.append(target)
    return tuple(targets)
