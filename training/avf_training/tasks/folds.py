"""Folds of a data set: official ones from the records, or made by session, by subject, by lot; each is checked.

A fold is which clips are trained on and which are tested; where subjects are known, none is in both, but for folds that
the owners made otherwise.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from avf_shards.errors import UserError
from avf_shards.hash_draw import priority

from avf_training.tasks.catalog import Dataset

AVCAFFE_TEST = frozenset(
    f"aiim{number:03d}" for number in (1, 2, 13, 14, 43, 44, 53, 54, 57, 58, 63, 64, 67, 68, 77, 78, 99, 100, 107, 108)
)


@dataclass(frozen=True, kw_only=True)
class FoldClip:
    """What folds are made from. folds: scheme -> the fold in whose test set the clip is, from 1 on (0: in none)."""

    key: str
    label: str
    subject: str | None = None
    session: str | None = None
    folds: Mapping[str, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Keys to train on and to test on."""

    number: int
    train: tuple[str, ...]
    test: tuple[str, ...]


def make_folds(data: Dataset, clips: Sequence[FoldClip]) -> list[Fold]:
    """The folds of a data set. Raises UserError naming the clip and the rule where they cannot be made."""
    if not clips:
        raise UserError(f"{data.name}: no labelled clip")
    return _apart(data, clips, _made(data, clips))


def _made(data: Dataset, clips: Sequence[FoldClip]) -> list[Fold]:
    if data.split == "official":
        return _numbered(clips, {clip.key: _official(data, clip) for clip in clips}, data.folds)
    if data.split == "random":
        order = sorted(clips, key=lambda clip: priority(clip.key, size=64))
        return _numbered(clips, {clip.key: place % data.folds + 1 for place, clip in enumerate(order)}, data.folds)
    if data.split == "session":
        names = {clip.key: _needed(data, clip, "session", clip.session) for clip in clips}
        return _blocks(clips, names, data.folds)
    subjects = {clip.key: _needed(data, clip, "subject", clip.subject) for clip in clips}
    if data.split == "leave_one_subject_out":
        return _blocks(clips, subjects, len(set(subjects.values())))
    if data.split == "held_out_subjects":
        tested = {key: int(subject in AVCAFFE_TEST) for key, subject in subjects.items()}
        return _numbered(clips, tested, 1)
    blocks = 5 if data.source == "crema_d" else data.folds
    folds = _blocks(clips, subjects, blocks)
    return folds[-1:] if data.folds == 1 else folds  # CREMA-D with four classes is tested on the last block


def _official(data: Dataset, clip: FoldClip) -> int:
    number = (clip.folds or {}).get(data.scheme)
    if number is None or not 0 <= number <= data.folds:
        raise UserError(
            f"{clip.key}: its record has no fold {data.scheme!r} of {data.name}; curate with that source's name"
        )
    return number


def _needed(data: Dataset, clip: FoldClip, what: str, value: str | None) -> str:
    if not value:
        raise UserError(f"{clip.key}: its record has no {what}, and the folds of {data.name} are made by {what}")
    return value


def _numbered(clips: Sequence[FoldClip], fold_of: Mapping[str, int], folds: int) -> list[Fold]:
    made = []
    for number in range(1, folds + 1):
        test = tuple(sorted(clip.key for clip in clips if fold_of[clip.key] == number))
        train = tuple(sorted(clip.key for clip in clips if fold_of[clip.key] != number))
        if not test or not train:
            raise UserError(f"fold {number} has no clip to {'test' if not test else 'train'} on")
        made.append(Fold(number=number, train=train, test=test))
    return made


def _blocks(clips: Sequence[FoldClip], names: Mapping[str, str], blocks: int) -> list[Fold]:
    """Names in their order (numbers as numbers), cut into blocks of one size; the last takes what is left over."""
    ordered = sorted(set(names.values()), key=_natural)
    if len(ordered) < blocks:
        raise UserError(f"{len(ordered)} sessions or subjects cannot make {blocks} folds")
    size = len(ordered) // blocks
    block_of = {name: min(place // size, blocks - 1) + 1 for place, name in enumerate(ordered)}
    return _numbered(clips, {key: block_of[name] for key, name in names.items()}, blocks)


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def _apart(data: Dataset, clips: Sequence[FoldClip], folds: list[Fold]) -> list[Fold]:
    """Nobody is trained on and tested in one fold, where subjects are known; the first who is, is named.

    Werewolf-XL's players come again in other sessions, and its owners' folds are by session.
    """
    if data.name == "werewolf_xl":
        return folds
    subject_of = {clip.key: clip.subject for clip in clips if clip.subject}
    for fold in folds:
        tested = {subject_of[key]: key for key in fold.test if key in subject_of}
        for key in fold.train:
            if (subject := subject_of.get(key)) in tested:
                raise UserError(
                    f"{data.name}, fold {fold.number}: subject {subject} is trained on ({key}) and tested "
                    f"({tested[subject]}); a fold must keep its people to itself"
                )
    return folds
