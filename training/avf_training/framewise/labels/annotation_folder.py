"""Labels of frames out of Aff-Wild2's folder of annotations, as the ABAW challenges distribute it.

6th_ABAW_Annotations/TASK/{Train_Set,Validation_Set}/VIDEO.txt: a header, then line i + 1 for frame i, counted from 1;
names_of_videos_in_each_test_set/TASK_test_set_release.txt: one name a line.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from avf_shards.errors import UserError
from avf_shards.system.storage_faults import raise_machine_fault, read_bytes

from avf_training.framewise.ensemble.folds import media_stem
from avf_training.framewise.labels.annotation_lines import MAX_NAMED_FAULTS, parse_label
from avf_training.framewise.labels.label_track import LabelTrack, SplitName
from avf_training.framewise.labels.tasks import TASKS_OF_FRAMES, FrameLabelTask
from avf_training.framewise.tracks.identity import TrackSubject

TASK_FOLDERS = {
    "va": ("VA_Estimation_Challenge", "Valence_Arousal_Estimation_Challenge"),
    "expr": ("EXPR_Recognition_Challenge", "EXPR_Classification_Challenge", "Expression_Recognition_Challenge"),
    "au": ("AU_Detection_Challenge", "Action_Unit_Detection_Challenge"),
}
"""Spellings of each task's folder; names of test lists begin with one of them too."""
_SETS: tuple[tuple[str, SplitName], ...] = (("Train_Set", "train"), ("Validation_Set", "validation"))
_EDITION = re.compile(r"(\d+)[a-z]{2}_ABAW_Annotations")
_TEST_LISTS = "names_of_videos_in_each_test_set"
_MAX_BYTES = 64_000_000  # of an annotation; a video of a day has a tenth


@dataclass(frozen=True, kw_only=True)
class AnnotationSource:
    """How the folder's labels become label tracks."""

    source: str  # name of the corpus, as tracks have it
    fps_of: Callable[[str], float]  # frames a second of a video; raises UserError for one that it does not know
    on_fault: Callable[
        [str], None
    ]  # called with a sentence, which names file and line, for each thing that cannot be used


def find_annotations(folder: Path) -> Path | None:
    """Return the folder of the tasks: `folder` itself, or that of the newest edition in it; None without one."""
    if any((folder / name).is_dir() for names in TASK_FOLDERS.values() for name in names):
        return folder
    editions = {int(match[1]): path for path in folder.iterdir() if (match := _EDITION.fullmatch(path.name))}
    return editions[max(editions)] if editions else None


def read_annotation_folder(folder: Path, options: AnnotationSource) -> Iterator[LabelTrack]:
    """Yield the labels of every video of each task.

    A video in two sets counts for the later one of train, validation and test. Raises UserError without annotations.
    """
    annotations = find_annotations(folder)
    if annotations is None:
        raise UserError(f"{folder}: has no folder of annotations, as 6th_ABAW_Annotations/VA_Estimation_Challenge")
    for task in TASKS_OF_FRAMES.values():
        split_of, files = _list_videos(folder, annotations, task, options.on_fault)
        for video, file in sorted(files.items()):
            try:
                fps = options.fps_of(video)
            except UserError as error:
                options.on_fault(str(error))
                continue
            values_NK = read_annotation(file, task, options.on_fault)
            if values_NK is None:
                continue
            numbers_N = np.arange(1, len(values_NK) + 1)
            yield LabelTrack(
                subject=TrackSubject(source=options.source, video_id=video),
                task=task,
                split=split_of[video],
                group=media_stem(video),
                person=None,
                scene=None,
                fps=fps,
                frames_N=numbers_N,
                times_s_N=(numbers_N - 1) / fps,
                values_NK=values_NK,
            )


def _list_videos(
    folder: Path, annotations: Path, task: FrameLabelTask, on_fault: Callable[[str], None]
) -> tuple[dict[str, SplitName], dict[str, Path]]:
    """Return the set and the file of each video of a task."""
    split_of: dict[str, SplitName] = {}
    where: dict[str, str] = {}
    files: dict[str, Path] = {}

    def enter(video: str, split: SplitName, here: str) -> None:
        if video in split_of:
            before = f"in {split_of[video]}" if split_of[video] != split else "there"
            on_fault(
                f"{here}: {video} is in the set {split} of {task.name}, and {before} by {where[video]}; it counts for "
                f"{split}, as this file has it"
            )
        split_of[video], where[video] = split, here

    for name in TASK_FOLDERS[task.name]:
        for set_folder, split in _SETS:
            for file in sorted((annotations / name / set_folder).glob("*.txt")):
                if not file.name.startswith("."):
                    enter(file.stem, split, str(file))
                    files[file.stem] = file
    for parent in dict.fromkeys((folder, annotations, annotations.parent)):
        for name in TASK_FOLDERS[task.name]:
            lists = parent / _TEST_LISTS / f"{name}_test_set_release.txt"
            if lists.is_file():
                for number, line in enumerate(lists.read_text("utf-8-sig", "replace").splitlines(), 1):
                    if line.strip():
                        enter(line.strip(), "test", f"{lists}: line {number}")
    return split_of, files


def read_annotation(
    file: Path, task: FrameLabelTask, on_fault: Callable[[str], None]
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]] | None:
    """Return the labels of a file, (N, K); None, which is told, where it is no annotation of the task.

    A line that is no label is told, and is a frame without one.
    """
    try:
        data = read_bytes(file, _MAX_BYTES + 1)
    except OSError as error:
        raise_machine_fault(error)
        on_fault(f"{file}: cannot be read ({error.strerror})")
        return None
    if len(data) > _MAX_BYTES:
        on_fault(f"{file}: has more than {_MAX_BYTES / 1e6:.0f} MB, which no annotation has")
        return None
    lines = data.decode("utf-8-sig", "replace").splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    header = [name.strip() for name in lines[0].split(",")] if lines else []
    if [name.lower() for name in header] != [name.lower() for name in task.classes]:
        on_fault(f"{file}: line 1: is {','.join(header)[:80]!r}, and must be {','.join(task.classes)!r}")
        return None
    if len(lines) == 1:
        on_fault(f"{file}: has no label below its first line")
        return None
    values_NK = np.full((len(lines) - 1, len(task.columns)), np.nan, np.float32)
    faults = []
    for row, line in enumerate(lines[1:]):
        fields = line.split(",")
        try:
            if len(fields) != len(task.columns):
                raise ValueError(f"{line[:60]!r} is not {len(task.columns)} numbers")
            if not all(field.strip() for field in fields):
                raise ValueError(f"{line[:60]!r} lacks a number")
            values_NK[row] = [parse_label(task, name, text) for name, text in zip(task.columns, fields, strict=True)]
        except ValueError as error:
            faults.append(f"{file}: line {row + 2}: {error}; frame {row + 1} has no label")
    for fault in faults[:MAX_NAMED_FAULTS]:
        on_fault(fault)
    if len(faults) > MAX_NAMED_FAULTS:
        on_fault(f"{file}: {len(faults) - MAX_NAMED_FAULTS:,} more lines that are no labels")
    return values_NK
