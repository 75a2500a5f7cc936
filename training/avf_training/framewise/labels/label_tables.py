"""A user's own labels of frames: a CSV table, or a folder of them, with a row for each labelled frame.

    video,frame,valence,arousal,split,person
    anna_1,1,0.25,-0.1,train,anna

`video` may be left out, and is then the name of the file; `time_s` may stand for `frame`. The columns of a task are
those of label tracks; an expression is a number or a name. `split`, `person`, `group` and `scene` are optional; other
columns are not read, which is told.
"""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast, get_args

import numpy as np
from avf_shards.errors import UserError

from avf_training.framewise.csv_tables import read_csv_header, read_csv_rows
from avf_training.framewise.labels.annotation_folder import AnnotationSource
from avf_training.framewise.labels.annotation_lines import MAX_NAMED_FAULTS, parse_label
from avf_training.framewise.labels.label_track import LabelTrack, SceneName, SplitName
from avf_training.framewise.labels.tasks import TASKS_OF_FRAMES, FrameLabelTask
from avf_training.framewise.tracks.identity import TrackSubject

log = logging.getLogger(__name__)
_CHOICES: dict[str, tuple[str, ...]] = {"split": get_args(SplitName), "scene": get_args(SceneName)}
_TEXTS = ("split", "person", "group", "scene")
_ROUNDING = 1e-6  # of a frame: 0.04 s is the start of the second frame of 25 a second
_MAX_FRAME = 100_000_000


@dataclass(kw_only=True)
class _Video:
    """The rows of one video."""

    first: str  # file and line of its first row
    fps: float
    texts: dict[str, str] = field(default_factory=dict)  # split, person, group and scene, where they are told
    rows: dict[int, dict[str, float]] = field(default_factory=dict)  # frame -> column -> label


def read_label_tables(path: Path, options: AnnotationSource) -> Iterator[LabelTrack]:
    """Yield the labels of every video and task of a table, or of the tables of a folder.

    Raises UserError for a table without the columns of a task, and for what is no table (see `read_csv_rows`).
    """
    files = sorted(path.rglob("*.csv")) if path.is_dir() else [path]
    if not files:
        raise UserError(f"{path}: holds no table (.csv) of labels, no shards and no annotations of Aff-Wild2")
    videos: dict[str, _Video] = {}
    for file in files:
        _read_table(file, videos, options)
    for name, video in sorted(videos.items()):
        for task in TASKS_OF_FRAMES.values():
            numbers = [
                number for number, row in sorted(video.rows.items()) if any(column in row for column in task.columns)
            ]
            if numbers:
                yield _make_track(name, video, task, numbers, options.source)


def _make_track(name: str, video: _Video, task: FrameLabelTask, numbers: list[int], source: str) -> LabelTrack:
    frames_N = np.array(numbers, np.int64)
    return LabelTrack(
        subject=TrackSubject(source=source, video_id=name),
        task=task,
        split=cast("SplitName | None", video.texts.get("split")),
        group=video.texts.get("group") or video.texts.get("person") or name,
        person=video.texts.get("person"),
        scene=cast("SceneName | None", video.texts.get("scene")),
        fps=video.fps,
        frames_N=frames_N,
        times_s_N=(frames_N - 1) / video.fps,
        values_NK=np.array(
            [[video.rows[number].get(column, math.nan) for column in task.columns] for number in numbers], np.float32
        ),
    )


def _read_table(file: Path, videos: dict[str, _Video], options: AnnotationSource) -> None:
    faults: list[str] = []
    rows = _Rows(columns=_find_columns(file), videos=videos, options=options)
    for where, row in read_csv_rows(file):
        try:
            rows.add(_video_name(row, file), row, where)
        except ValueError as error:
            faults.append(f"{where}: {error}")
    for fault in faults[:MAX_NAMED_FAULTS]:
        options.on_fault(fault)
    if len(faults) > MAX_NAMED_FAULTS:
        options.on_fault(f"{file}: {len(faults) - MAX_NAMED_FAULTS:,} more rows that are no labels")


def _video_name(row: dict[str, str], file: Path) -> str:
    """Return the video of a row: that of its cell, or of the file's name where the table has no column of videos.

    Raises ValueError for an empty cell: the file of a table of many videos is the name of none.
    """
    name = row.get("video", file.stem).strip()
    if not name:
        raise ValueError("video is empty; name the video, or leave the column out where the file has its name")
    return name


def _find_columns(file: Path) -> dict[str, FrameLabelTask]:
    """Return the task of each column of labels, and warn of columns that are not read.

    Raises UserError for a table without labels or frames, and for one whose sets are in a column that is not read.
    """
    names = read_csv_header(file)
    if "frame" not in names and "time_s" not in names:
        raise UserError(f"{file}: line 1: has neither a column frame nor time_s; it has {', '.join(names)}")
    columns = {column: task for task in TASKS_OF_FRAMES.values() for column in task.columns if column in names}
    if not columns:
        every = ", ".join(column for task in TASKS_OF_FRAMES.values() for column in task.columns)
        raise UserError(f"{file}: line 1: has no column of labels; these are {every}")
    if "set" in names and "split" not in names:
        sets = ", ".join(_CHOICES["split"])
        raise UserError(f"{file}: line 1: the column set is not read; call it split, with the sets {sets}")
    others = [name for name in names if name not in (*columns, "video", "frame", "time_s", *_TEXTS)]
    if others:
        log.warning("%s: line 1: columns that are not read: %s", file, ", ".join(map(repr, others)))
    return columns


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """Enters the rows of one table."""

    columns: dict[str, FrameLabelTask]  # of labels, each with its task
    videos: dict[str, _Video]  # that rows are entered into
    options: AnnotationSource

    def add(self, name: str, row: dict[str, str], where: str) -> None:
        """Add the labels of a row. Raises ValueError for one that is no label; what is right in it counts."""
        if name not in self.videos:
            try:
                fps = self.options.fps_of(name)
            except UserError as error:
                raise ValueError(str(error)) from None
            self.videos[name] = _Video(first=where, fps=fps)
        video = self.videos[name]
        number = _frame_number(row, video.fps)
        if number in video.rows:
            raise ValueError(f"frame {number} of {name} has an earlier row")
        problems = _add_texts(row, video, name)
        values: dict[str, float] = {}
        for column, task in self.columns.items():
            try:
                values[column] = parse_label(task, column, row.get(column) or "")
            except ValueError as error:
                values[column] = math.nan
                problems.append(f"{error}: frame {number} has no such label")
        video.rows[number] = values
        if problems:
            raise ValueError("; ".join(problems))


def _add_texts(row: dict[str, str], video: _Video, name: str) -> list[str]:
    """Add what a row says of its video, and return what is wrong with it."""
    problems = []
    for key in _TEXTS:
        text = (row.get(key) or "").strip()
        if not text:
            continue
        if text not in _CHOICES.get(key, (text,)):
            problems.append(f"{key} {text[:40]!r} is none of {', '.join(_CHOICES[key])}")
            continue
        before = video.texts.setdefault(key, text)
        if before != text:
            later = max(before, text, key=_CHOICES[key].index) if key == "split" else before
            problems.append(f"{name} has the {key} {text}, and {before} from {video.first} on; it counts for {later}")
            video.texts[key] = later
    return problems


def _frame_number(row: dict[str, str], fps: float) -> int:
    """Return the number of a row's frame; of a time, that of the frame that is shown then."""
    frame, time_s = ((row.get(name) or "").strip() for name in ("frame", "time_s"))
    try:
        number = int(frame) if frame else math.floor(float(time_s) * fps + _ROUNDING) + 1
    except (ValueError, OverflowError):
        problem = f"frame {frame[:40]!r} is no whole number" if frame else f"time_s {time_s[:40]!r} is no number"
        raise ValueError(problem if frame or time_s else "names no frame") from None
    if not 1 <= number <= _MAX_FRAME:
        raise ValueError(f"frame {number} is not from 1 to {_MAX_FRAME}")
    return number
