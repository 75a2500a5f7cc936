"""What a folder of labels got: tracks and frames of each task and set, and classes without a frame."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from avf_shards.errors import FaultError, UserError
from avf_shards.text import count_noun

from avf_training.framewise.labels.label_track import LabelTrack, label_path, read_label_track, write_label_track
from avf_training.framewise.labels.tasks import TASKS_OF_FRAMES, FrameLabelTask
from avf_training.framewise.tracks.errors import OtherTrackError


@dataclass(kw_only=True)
class SetCounts:
    """Labels of one task in one set."""

    videos: int = 0
    frames: int = 0  # with a row
    valid: int = 0  # of them that count
    classes: list[int] = field(default_factory=list)  # valid frames of each class, or with each action unit on


@dataclass(kw_only=True)
class LabelReport:
    """What was written, by task and set; the set of a track without one is called `no set`."""

    sets: dict[tuple[str, str], SetCounts] = field(default_factory=dict)

    def add(self, track: LabelTrack) -> None:
        """Count a track."""
        counts = self.sets.setdefault((track.task.name, track.split or "no set"), SetCounts())
        valid_NK = track.values_NK[track.is_valid]
        counts.videos, counts.frames = counts.videos + 1, counts.frames + len(track.frames_N)
        counts.valid += len(valid_NK)
        if track.task.is_whole:
            present_C = count_classes(track.task, valid_NK)
            counts.classes = [sum(pair) for pair in zip(counts.classes or [0] * len(present_C), present_C, strict=True)]

    def lines(self) -> list[str]:
        """Return a line for each task and set, and one for each set with classes that no frame has."""
        lines = []
        for (name, split), counts in self.sets.items():
            videos, frames = count_noun(counts.videos, "video"), count_noun(counts.frames, "frame")
            lines.append(f"{name:<5}{split:<11} {videos}, {frames}, {counts.valid:,} of them with valid labels")
            names = TASKS_OF_FRAMES[name].classes
            absent = [each for each, count in zip(names, counts.classes, strict=False) if not count]
            if absent:
                lines.append(f"     no frame of {', '.join(absent)} in the set {split}")
        return lines


def count_classes(task: FrameLabelTask, valid_NK: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> list[int]:
    """Return valid frames of each expression, or frames with each action unit on."""
    if task.name == "expr":
        counts: list[int] = np.bincount(valid_NK[:, 0].astype(np.int64), minlength=task.outputs).tolist()
        return counts
    on: list[int] = (valid_NK == 1).sum(0).tolist()
    return on


def write_labels(folder: Path, tracks: Iterable[LabelTrack]) -> tuple[LabelReport, list[str]]:
    """Write labels into a folder; return what was written, and a sentence for each track that could not be."""
    report, faults = LabelReport(), []
    for track in tracks:
        try:
            write_label_track(folder, track)
        except OtherTrackError:
            faults.append(_describe_others(folder, track))
            continue
        except ValueError as error:
            faults.append(f"{track.subject}: {error}")
            continue
        report.add(track)
    return report, faults


def _describe_others(folder: Path, track: LabelTrack) -> str:
    """Return that other labels of a person stand in the folder, and how they differ."""
    path = label_path(folder, track.task, track.subject)
    difference = "other frames, values or settings"
    try:
        stored = read_label_track(path)
    except (UserError, FaultError) as error:
        return str(error)
    if stored.fps != track.fps:
        difference = f"{stored.fps:g} frames a second there, and {track.fps:g} now"
    elif stored.split != track.split:
        difference = f"of the set {stored.split or 'none'} there, and {track.split or 'none'} now"
    elif stored.scene != track.scene:
        difference = f"of the scene {stored.scene or 'none'} there, and {track.scene or 'none'} now"
    return (
        f"{path}: other labels of {track.subject} stand there ({difference}); remove them, or name another folder with "
        "--out"
    )
