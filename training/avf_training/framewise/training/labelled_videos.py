"""The labelled videos of a run: which are trained on, which select the epoch, and what was left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from avf_shards.errors import UserError
from avf_shards.text import count_noun

from avf_training.distributed.environment import log_of_rank_0
from avf_training.framewise.ensemble.folds import grouped_folds
from avf_training.framewise.labels.label_report import count_classes
from avf_training.framewise.labels.label_track import LabelTrack, list_label_tracks
from avf_training.framewise.labels.shared_people import names_in, warn_of_shared
from avf_training.framewise.labels.tasks import FrameLabelTask
from avf_training.framewise.labels.trained_videos import (
    TrainedVideo,
    TrainedVideos,
    read_trained_videos,
    split_trained,
)
from avf_training.framewise.tracks.errors import DamagedFiles, DamagedTrackError, MissingTrackError, list_bounded
from avf_training.framewise.training.frame_recipe import FrameRecipe
from avf_training.framewise.training.joined_tracks import JoinedTracks, JoinedTracksReader

log = log_of_rank_0(__name__)
_MAX_NAMED = 5  # videos in one sentence


@dataclass(frozen=True, kw_only=True)
class LabelledVideo:
    """A person's tracks and labels."""

    tracks: JoinedTracks
    labels: LabelTrack


@dataclass(frozen=True, kw_only=True)
class LabelledVideos:
    """What a run learns from and is scored on."""

    training: tuple[LabelledVideo, ...]
    validation: tuple[LabelledVideo, ...]
    skipped: tuple[str, ...]  # a sentence for each labelled video that is not used
    class_counts: tuple[int, ...]  # valid training frames of each class, or with each action unit on; () for va
    absent: tuple[str, ...]  # classes that no training frame has
    unlabelled: tuple[str, ...]  # files of tracks whose person has no label of the task
    trained: TrainedVideos  # those of `training`, and what the models behind their tracks were trained on


def read_labelled_videos(
    labels: Path, task: FrameLabelTask, recipe: FrameRecipe, reader: JoinedTracksReader
) -> LabelledVideos:
    """Return the labelled videos with their tracks.

    Raises UserError where a set is empty, and, unless the recipe skips them, where a video has no track; FaultError
    where tracks are damaged.
    """
    every = list(list_label_tracks(labels, task))
    training, validation = _choose_sets(every, recipe)
    skipped: list[str] = []
    missing: list[str] = []
    damaged = DamagedFiles()
    pairs: list[list[LabelledVideo]] = []
    for part in (training, validation):
        videos = []
        for each in part:
            if not each.is_valid.any():
                skipped.append(f"{each.subject}: no frame has a valid label")
                continue
            try:
                videos.append(LabelledVideo(tracks=reader.read(each.subject), labels=each))
            except MissingTrackError as error:
                missing.append(str(error))
            except DamagedTrackError:
                damaged.errors += reader.damaged_tracks(each.subject)
        pairs.append(videos)
    damaged.refuse()
    if missing and recipe.missing_tracks == "refuse":
        raise UserError(
            f"{count_noun(len(missing), 'labelled video')} without a track; extract them, or leave them out with "
            f"--set missing_tracks=skip:{list_bounded(missing)}"
        )
    skipped += missing
    for sentence in skipped[:_MAX_NAMED]:
        log.warning("left out: %s", sentence)
    if len(skipped) > _MAX_NAMED:
        log.warning("left out: %s more, which RUN/result.json names", f"{len(skipped) - _MAX_NAMED:,}")
    for name, videos in zip(("training", "validation"), pairs, strict=True):
        if not videos:
            raise UserError(f"{labels}: no {name} video of {task.name} has labels and tracks")
    warn_of_shared(_name_sets(every, pairs, recipe))
    trained = _list_trained(pairs[0], recipe, reader)
    _warn_trained_before(trained, pairs[1], recipe)
    counts = _count(task, pairs[0])
    absent = tuple(name for name, count in zip(task.classes, counts, strict=False) if not count)
    if absent:
        log.warning("no training frame of %s: the model cannot learn it", ", ".join(absent))
    return LabelledVideos(
        training=tuple(pairs[0]),
        validation=tuple(pairs[1]),
        skipped=tuple(skipped),
        class_counts=counts,
        absent=absent,
        unlabelled=reader.unlabelled(each.subject for each in every),
        trained=trained,
    )


def _choose_sets(every: Sequence[LabelTrack], recipe: FrameRecipe) -> tuple[list[LabelTrack], list[LabelTrack]]:
    """Return the labels of the training and the validation set: the owners', or those of a fold."""
    known = [each for each in every if each.split in ("train", "validation")]
    if recipe.fold is None:
        training = [each for each in known if each.split == "train"]
        validation = [each for each in known if each.split == "validation"]
        if not training or not validation:
            missing = "train" if not training else "validation"
            raise UserError(
                f"no labels of {every[0].task.name} are in the set {missing}; say the sets in the labels, or take "
                "folds of all labelled videos that are not in the set test (--set fold=1)"
            )
    else:
        known = [each for each in every if each.split != "test"]
        frames: dict[str, int] = {}
        for each in known:
            frames[each.group] = frames.get(each.group, 0) + int(each.is_valid.sum())
        held_out = set(grouped_folds(frames, seed=recipe.fold_seed).folds[recipe.fold - 1])
        training = [each for each in known if each.group not in held_out]
        validation = [each for each in known if each.group in held_out]
    if recipe.train_on == "all":
        training = [*training, *validation]
    if recipe.scene is not None:
        training = [each for each in training if each.scene == recipe.scene]
        validation = [each for each in validation if each.scene == recipe.scene]
        if not training or not validation:
            raise UserError(f"no labels of the scene {recipe.scene} are in both sets; the labels' `scene` says it")
    return training, validation


def _list_trained(training: Sequence[LabelledVideo], recipe: FrameRecipe, reader: JoinedTracksReader) -> TrainedVideos:
    """Return what the model will have learned, with what the models behind its tracks have."""
    behind = [record for record in (read_trained_videos(folder) for folder in reader.folders()) if record is not None]
    has_fold = recipe.fold is not None
    own = TrainedVideos(
        train_on=recipe.train_on, fold=recipe.fold, fold_seed=recipe.fold_seed if has_fold else None
    ).add(TrainedVideo.from_labels(each.labels) for each in training)
    return own.add(video for record in behind for video in record.videos)


def _warn_trained_before(trained: TrainedVideos, validation: Sequence[LabelledVideo], recipe: FrameRecipe) -> None:
    seen, _ = split_trained(trained, [each.labels.subject for each in validation])
    if seen and recipe.train_on == "train":
        named = ", ".join(str(each) for each in seen[:_MAX_NAMED])
        log.warning(
            "the models behind the tracks were trained on %s of validation, whose scores say nothing of new ones: %s",
            count_noun(len(seen), "video"),
            named,
        )


def _name_sets(
    every: Sequence[LabelTrack], pairs: Sequence[Sequence[LabelledVideo]], recipe: FrameRecipe
) -> dict[str, set[str]]:
    """Return the people and media files of each set, those of the test set that nothing here is read of too."""
    training, validation = (names_in(each.labels for each in videos) for videos in pairs)
    tested = names_in(each for each in every if each.split == "test")
    if recipe.train_on == "all":
        return {"training": training | validation, "test": tested}
    return {"training": training, "validation": validation, "test": tested}


def _count(task: FrameLabelTask, videos: Sequence[LabelledVideo]) -> tuple[int, ...]:
    if not task.is_whole:
        return ()
    sums = np.zeros(task.outputs, np.int64)
    for video in videos:
        sums += count_classes(task, video.labels.values_NK[video.labels.is_valid])
    return tuple(sums.tolist())
