"""Folds of videos in which the persons of one media file stay together, and the fold script of 2022 for comparison."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from avf_shards.errors import UserError

FOLDS = 5
HELD_OUT_SHARE = 0.1  # of the script of 2022
TRACK_SUFFIXES = ("_left", "_right")


def media_stem(video: str) -> str:
    """Return the name of the media file of a track: `_left` and `_right` are two persons of one file."""
    for suffix in TRACK_SUFFIXES:
        if video.endswith(suffix):
            return video.removesuffix(suffix)
    return video


@dataclass(frozen=True, kw_only=True)
class GroupedFolds:
    """Folds of videos with the seed that they were drawn by."""

    seed: int
    folds: tuple[tuple[str, ...], ...]  # names of the validation videos of each fold, sorted

    def training_videos(self, fold: int) -> tuple[str, ...]:
        """Return the videos of all other folds, sorted."""
        return tuple(sorted(video for index, each in enumerate(self.folds) if index != fold for video in each))


def grouped_folds(frames: Mapping[str, int], *, folds: int = FOLDS, seed: int = 0) -> GroupedFolds:
    """Draw folds of about equally many frames; all tracks of one media file are in one fold.

    The files are shuffled by the seed, and from the largest on each goes to the fold with the fewest frames so far. The
    order of `frames` has no influence. Raises UserError where there are fewer files than folds.

    Args:
        frames: labelled frames of each video, by its whole name.
    """
    members_of: dict[str, list[str]] = {}
    for video in sorted(frames):
        members_of.setdefault(media_stem(video), []).append(video)
    if len(members_of) < folds:
        raise UserError(f"{folds} folds need as many media files, but there are {len(members_of)}; ask for fewer folds")
    stems = sorted(members_of)
    random.Random(seed).shuffle(stems)
    # Large files first: what is left at the end can still even out.
    stems.sort(key=lambda stem: -sum(frames[video] for video in members_of[stem]))
    totals, members = [0] * folds, [list[str]() for _ in range(folds)]
    for stem in stems:
        smallest = min(range(folds), key=lambda fold: (totals[fold], len(members[fold]), fold))
        members[smallest] += members_of[stem]
        # Without labels a file still counts, so that no fold stays empty.
        totals[smallest] += max(1, sum(frames[video] for video in members_of[stem]))
    return GroupedFolds(seed=seed, folds=tuple(tuple(sorted(each)) for each in members))


@dataclass(frozen=True, kw_only=True)
class FoldOf2022:
    """A fold as NetEase's script of 2022 makes it, with its leak."""

    validation: tuple[str, ...]  # videos with a row in validation, sorted
    training: tuple[str, ...]  # videos with a row in training, sorted
    rows: tuple[int, int]  # of training and of validation; a row may be there several times
    leaked: tuple[str, ...]  # videos of both


@dataclass(frozen=True, kw_only=True)
class FoldsOf2022:
    """Folds as NetEase's script of 2022 makes them, with its two faults; to measure them, not to train with."""

    lost: tuple[str, ...]  # videos without a row anywhere
    held_out: tuple[str, ...]  # videos of the first tenth, sorted
    folds: tuple[FoldOf2022, ...]


def folds_of_2022(training: Sequence[str], validation: Sequence[str]) -> FoldsOf2022:
    """Repeat the script: names from a table in which validation overwrites training, rows by a part of their path.

    Args:
        training: path of each row's picture, VIDEO/00001.jpg, in the order of the table.
        validation: likewise.
    """
    # Both tables are numbered from 0, so in a dictionary by number the later table wins.
    by_number = dict(enumerate(training)) | dict(enumerate(validation))
    names = list(dict.fromkeys(map(_video_of, by_number.values())))
    random.Random(0).shuffle(names)
    held_out, rest = names[: int(HELD_OUT_SHARE * len(names))], names[int(HELD_OUT_SHARE * len(names)) :]
    paths = [*training, *validation]
    folds = []
    for fold in range(FOLDS):
        start, stop = (int(each * len(rest) / FOLDS) for each in (fold, fold + 1))
        in_training = _rows_with(paths, [*rest[:start], *rest[stop:]])
        in_validation = _rows_with(paths, rest[start:stop])
        folds.append(
            FoldOf2022(
                validation=tuple(sorted(set(in_validation))),
                training=tuple(sorted(set(in_training))),
                rows=(len(in_training), len(in_validation)),
                leaked=tuple(sorted(set(in_training) & set(in_validation))),
            )
        )
    seen = {*held_out, *(video for fold in folds for video in (*fold.training, *fold.validation))}
    lost = [video for video in dict.fromkeys(map(_video_of, paths)) if video not in seen]
    return FoldsOf2022(lost=tuple(lost), held_out=tuple(sorted(held_out)), folds=tuple(folds))


def _video_of(path: str) -> str:
    return path.partition("/")[0]


def _rows_with(paths: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the video of every path that holds a name anywhere; the name `1` is also in `10` and in 00001.jpg."""
    return [_video_of(path) for name in names for path in paths if name in path]
