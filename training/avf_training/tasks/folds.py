"""Folds of a data set: predefined ones from the records, or made by session, by subject or in a seeded random order.

A fold says which clips are trained on and which are tested. Where subjects are known, no subject is in both
parts, except in predefined folds whose owners allowed it.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from avf_shards.errors import UserError
from avf_shards.sampling.hash_draw import priority

from avf_training.tasks.catalog import Dataset

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FoldClip:
    """A labelled clip as folds are made from it."""

    key: str  # of the clip in the shards
    label: str  # class that the task asks for; empty for a regression
    subject: str | None = None  # identifier of the person within the data set; None where unknown
    session: str | None = None  # identifier of the recording session; None where unknown
    recording: str = ""  # video that the clip was cut from; empty: of this clip alone
    group: str = ""  # recording, or other group of videos, that the clip was cut from; empty where unknown
    original: str | None = None  # of which a fake was made, of a real its own; None where the corpus has no fakes
    values: Mapping[str, str] = field(default_factory=dict)  # every label of its record
    folds: Mapping[str, int] | None = None  # scheme -> fold whose test set the clip is in, from 1; 0: in none


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Keys of the clips to train on and to test on."""

    number: int  # from 1
    train: tuple[str, ...]  # sorted keys
    test: tuple[str, ...]  # sorted keys


def make_folds(data: Dataset, clips: Sequence[FoldClip]) -> list[Fold]:
    """Return the folds of a data set.

    Raises UserError that names the clip and the rule where the folds cannot be made, or the subject that is both
    trained on and tested.
    """
    if not clips:
        raise UserError(f"{data.name}: no labelled clip")
    folds = _split(data, clips)
    if not data.subjects_overlap:
        _check_subjects(data, clips, folds)
    for fold in folds:
        refuse_torn_originals(clips, fold.train, fold.test, f"{data.name}, fold {fold.number}: tested")
    log.info("%s: %d folds of %d clips by split %s", data.name, len(folds), len(clips), data.split)
    return folds


def _split(data: Dataset, clips: Sequence[FoldClip]) -> list[Fold]:
    if data.split == "predefined":
        return _numbered_folds(clips, {clip.key: _predefined_fold(data, clip) for clip in clips}, data.folds)
    if data.split == "column":
        return _numbered_folds(clips, {clip.key: int(has_values(clip, data.tested)) for clip in clips}, 1)
    if data.split == "random":
        # The hash of its first key orders a recording: no seed, and the order of the shards does not matter.
        first_of: dict[str, str] = {}
        for clip in sorted(clips, key=lambda clip: clip.key):
            first_of.setdefault(clip.recording or clip.key, clip.key)
        shuffled = sorted(first_of, key=lambda recording: priority(first_of[recording], size=64))
        fold_of_recording = {recording: position % data.folds + 1 for position, recording in enumerate(shuffled)}
        fold_of = {clip.key: fold_of_recording[clip.recording or clip.key] for clip in clips}
        return _numbered_folds(clips, fold_of, data.folds)
    if data.split == "session":
        sessions = {clip.key: _require_field(data, clip, "session", clip.session) for clip in clips}
        return _block_folds(clips, sessions, data.folds)
    if data.split == "group":
        groups = {clip.key: _require_field(data, clip, "group", clip.group) for clip in clips}
        # Not in the order of their names: neighbours often have the same label, and a fold would miss others.
        shuffled_groups = sorted(set(groups.values()), key=lambda name: priority(name, size=64))
        fold_of_group = {name: position % data.folds + 1 for position, name in enumerate(shuffled_groups)}
        return _numbered_folds(clips, {key: fold_of_group[name] for key, name in groups.items()}, data.folds)
    subjects = {clip.key: _require_field(data, clip, "subject", clip.subject) for clip in clips}
    if data.split == "leave_one_subject_out":
        return _block_folds(clips, subjects, len(set(subjects.values())))
    if data.split == "held_out_subjects":
        tested = {key: int(subject in data.test_subjects) for key, subject in subjects.items()}
        return _numbered_folds(clips, tested, 1)
    folds = _block_folds(clips, subjects, data.blocks or data.folds)
    return folds[-1:] if data.folds == 1 else folds


def has_values(clip: FoldClip, asked: Mapping[str, Sequence[str]]) -> bool:
    """Return whether each of these labels of a clip has one of the values that are asked for."""
    return all(clip.values.get(name) in values for name, values in asked.items())


def refuse_torn_originals(clips: Sequence[FoldClip], train: Sequence[str], others: Sequence[str], where: str) -> None:
    """Raise UserError that names the first original of which clips are trained on and others are not.

    A fake shows the person, the room and most of the sound of its original, so that a model knows it from there.

    Args:
        clips: all clips of the data set.
        train: keys of those that are trained on.
        others: keys of those that are tested, or select the epoch.
        where: the fold, and which of both, as in "lav_df, fold 1: tested".
    """
    original_of = {clip.key: clip.original for clip in clips if clip.original is not None}
    trained = {original_of[key]: key for key in train if key in original_of}
    for key in others:
        if (original := original_of.get(key)) in trained:
            raise UserError(
                f"{where} is {key}, and {trained[str(original)]} is trained on; both are of the original {original}. "
                "An original and its fakes belong to one part: make folds by it (split: group), or mend the column"
            )


def _predefined_fold(data: Dataset, clip: FoldClip) -> int:
    number = (clip.folds or {}).get(data.scheme)
    if number is None or not 0 <= number <= data.folds:
        raise UserError(
            f"{clip.key}: its record has no fold {data.scheme!r} of {data.name}; curate with that source's name and "
            "the owners' list of its folds"
        )
    return number


def _require_field(data: Dataset, clip: FoldClip, field: str, value: str | None) -> str:
    if not value:
        raise UserError(f"{clip.key}: its record has no {field}, and the folds of {data.name} are made by {field}")
    return value


def _numbered_folds(clips: Sequence[FoldClip], fold_of: Mapping[str, int], count: int) -> list[Fold]:
    folds = []
    for number in range(1, count + 1):
        test = tuple(sorted(clip.key for clip in clips if fold_of[clip.key] == number))
        train = tuple(sorted(clip.key for clip in clips if fold_of[clip.key] != number))
        if not test or not train:
            raise UserError(f"fold {number} has no clip to {'test' if not test else 'train'} on")
        folds.append(Fold(number=number, train=train, test=test))
    return folds


def _block_folds(clips: Sequence[FoldClip], names: Mapping[str, str], blocks: int) -> list[Fold]:
    """Cut the sorted names (sessions or subjects) into blocks of one size; the last block takes the remainder."""
    ordered = sorted(set(names.values()), key=natural_order)
    if len(ordered) < blocks:
        raise UserError(f"{len(ordered)} sessions or subjects cannot make {blocks} folds")
    size = len(ordered) // blocks
    block_of = {name: min(position // size, blocks - 1) + 1 for position, name in enumerate(ordered)}
    return _numbered_folds(clips, {key: block_of[name] for key, name in names.items()}, blocks)


def natural_order(name: str) -> list[tuple[int, str]]:
    """Return a sort key by which actor 9 comes before actor 10, as in the authors' blocks."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def _check_subjects(data: Dataset, clips: Sequence[FoldClip], folds: Sequence[Fold]) -> None:
    """Raise UserError that names the first subject who is both trained on and tested in a fold."""
    subject_of = {clip.key: clip.subject for clip in clips if clip.subject}
    for fold in folds:
        tested = {subject_of[key]: key for key in fold.test if key in subject_of}
        for key in fold.train:
            if (subject := subject_of.get(key)) in tested:
                raise UserError(
                    f"{data.name}, fold {fold.number}: subject {subject} is trained on ({key}) and tested "
                    f"({tested[subject]}); no subject may be in both parts of a fold"
                )
