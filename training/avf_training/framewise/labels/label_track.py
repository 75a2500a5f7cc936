"""Labels of the frames of one person of one video, in memory and as a Parquet file, LABELS/TASK/SOURCE/VIDEO.parquet.

frame    int64      number of the frame in its video, from 1, rising
time_s   float64    when it is shown, in seconds of the video
...                 the task's columns: float32 and null where not valid (va), or int8 and -1 where not valid (expr, au)

Everything else stands in the metadata of the file. A frame that was not annotated has no row. Labels are joined
with tracks by the number of the frame. Shapes: N frames, K columns.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from avf_shards.errors import UserError
from avf_shards.schema.versions import encode_parquet
from avf_shards.text import count_noun

from avf_training.framewise.labels.tasks import TASKS_OF_FRAMES, FrameLabelTask, find_task
from avf_training.framewise.metrics import MISSING_CLASS
from avf_training.framewise.tracks.errors import DamagedFiles, DamagedTrackError, OtherTrackError
from avf_training.framewise.tracks.identity import TrackSubject
from avf_training.framewise.tracks.track_file import (
    ENDING,
    FRAME,
    FRAME_COLUMNS,
    TIME_S,
    TrackFileKind,
    check_digest,
    check_values,
    describe_invalid_frames,
    open_table,
    read_metadata,
    seal_header,
    write_once,
)
from avf_training.framewise.tracks.track_folder import TrackFolder

SplitName = Literal["train", "validation", "test"]
SceneName = Literal["reaction", "other"]
LABEL_TRACK = TrackFileKind(
    name="label track",
    noun="label track",
    written_by="avf-train frame-labels",
    remedy="remove it and write the labels again",
)


@dataclass(frozen=True, kw_only=True)
class LabelTrack:
    """The labels of one person of one video for one task."""

    subject: TrackSubject  # whose
    task: FrameLabelTask
    split: SplitName | None  # set that the owners put it in; None: in none
    group: str  # what stays together in folds: the media file, or the person
    person: str | None  # name of the person in the corpus; None: not known
    scene: SceneName | None  # None: not told
    fps: float  # frames a second of the video whose frames are counted
    frames_N: npt.NDArray[np.int64]  # numbers in the video, from 1, rising
    times_s_N: npt.NDArray[np.float64]  # in seconds of the video
    values_NK: npt.NDArray[np.float32]  # in the task's columns; nan where not valid

    @property
    def is_valid(self) -> npt.NDArray[np.bool_]:
        """Return which frames count, (N,): those whose every value is valid."""
        return np.asarray(np.isfinite(self.values_NK).all(1))


def label_schema(task: FrameLabelTask) -> pa.Schema:
    """Return the columns of a label track of a task."""
    return pa.schema([*FRAME_COLUMNS, *_value_fields(task)])


def label_path(folder: Path, task: FrameLabelTask, subject: TrackSubject) -> Path:
    """Return the file of a label track in a folder of them."""
    return TrackFolder(folder).path(task.name, subject)


def encode_label_track(track: LabelTrack) -> bytes:
    """Return the bytes of a label track's file: the same labels, the same bytes.

    Raises ValueError for labels that no reader would take; the message says what is wrong.
    """
    if fault := _describe_invalid_labels(track):
        raise ValueError(fault)
    columns = [pa.array(track.frames_N), pa.array(track.times_s_N)]
    for values_N in track.values_NK.T:
        missing_N = np.isnan(values_N)
        if track.task.is_whole:
            columns.append(pa.array(np.where(missing_N, MISSING_CLASS, values_N).astype(np.int8)))
        else:
            columns.append(pa.array(values_N, mask=missing_N))
    schema = label_schema(track.task).with_metadata(_header(track))
    return encode_parquet(pa.Table.from_arrays(columns, schema=schema))


def write_label_track(folder: Path, track: LabelTrack) -> Path:
    """Write labels once into a folder of them, and return their file.

    Raises ValueError as `encode_label_track`, and OtherTrackError where the file exists with other labels.
    """
    path, data = label_path(folder, track.task, track.subject), encode_label_track(track)
    try:
        write_once(path, data)
    except OtherTrackError:
        if path.read_bytes() != data:
            raise
    return path


def read_label_track(
    path: Path, *, task: FrameLabelTask | None = None, subject: TrackSubject | None = None
) -> LabelTrack:
    """Return a label track, all of it checked.

    Raises:
        MissingTrackError: there is no such file.
        DamagedTrackError: it cannot be read, or holds what no label track may hold.
        OtherTrackError: it is of another task or subject.
        UserError: it is of a newer version.
    """
    table = open_table(path, LABEL_TRACK)
    name = read_metadata(table).get("task", "none")
    stored = TASKS_OF_FRAMES.get(name)
    if stored is None:
        raise DamagedTrackError(
            f"{path}: is of the task {name}, not of {', '.join(TASKS_OF_FRAMES)}", LABEL_TRACK.remedy
        )
    if task is not None and stored != task:
        raise OtherTrackError(f"{path}: has labels of {stored.name}, not of {task.name}; put it where it belongs")
    check_values(path, LABEL_TRACK, table, pa.schema(_value_fields(stored)), nullable=not stored.is_whole)
    track = _parse(path, stored, table)
    if fault := _describe_invalid_labels(track):
        raise DamagedTrackError(f"{path}: {fault}", LABEL_TRACK.remedy)
    if subject is not None and track.subject != subject:
        raise OtherTrackError(f"{path}: is of {track.subject}, not of {subject}; put it where it belongs")
    return track


def list_label_tracks(folder: Path, task: FrameLabelTask | str) -> Iterator[LabelTrack]:
    """Yield the labels of every person of a task, by source and video.

    Raises UserError where there is none, and as `read_label_track`, also for one under another's name; of damaged ones
    all are named, behind the others.
    """
    task = find_task(task) if isinstance(task, str) else task
    paths = sorted(path for path in (folder / task.name).glob(f"*/*{ENDING}") if not path.name.startswith("."))
    if not paths:
        raise UserError(f"{folder}: no labels of {task.name}; `avf-train frame-labels` writes them")
    damaged = DamagedFiles()
    for path in paths:
        track: LabelTrack | None = None
        with damaged.collecting():
            track = read_label_track(path, task=task)
        if track is None:
            continue
        right = label_path(folder, task, track.subject)
        if path != right:
            raise OtherTrackError(f"{path}: is of {track.subject}; its name is {right}")
        yield track
    damaged.refuse()


def _value_fields(task: FrameLabelTask) -> list[tuple[str, pa.DataType]]:
    return [(name, pa.int8() if task.is_whole else pa.float32()) for name in task.columns]


def _header(track: LabelTrack) -> dict[str, str]:
    """Return the metadata of a label track's file; what is not known is not there."""
    known = {"split": track.split, "person_name": track.person, "scene": track.scene}
    values = {
        "task": track.task.name,
        "classes": ",".join(track.task.classes),
        "source": track.subject.source,
        "video_id": track.subject.video_id,
        "person": str(track.subject.person),
        "group": track.group,
        "fps": repr(float(track.fps)),
        **{name: value for name, value in known.items() if value is not None},
    }
    return seal_header(LABEL_TRACK.name, values)


def _parse(path: Path, task: FrameLabelTask, table: pa.Table) -> LabelTrack:
    metadata = read_metadata(table)
    columns = [table[name].to_numpy().astype(np.float32) for name in task.columns]
    values_NK = np.stack(columns, 1)
    if task.is_whole:
        values_NK = np.where(values_NK == MISSING_CLASS, np.float32(np.nan), values_NK)
    try:
        track = LabelTrack(
            subject=TrackSubject(
                source=metadata["source"], video_id=metadata["video_id"], person=int(metadata["person"])
            ),
            task=task,
            split=cast("SplitName | None", _choose(metadata, "split", get_args(SplitName))),
            group=metadata["group"],
            person=metadata.get("person_name"),
            scene=cast("SceneName | None", _choose(metadata, "scene", get_args(SceneName))),
            fps=float(metadata["fps"]),
            frames_N=table[FRAME].to_numpy(),
            times_s_N=table[TIME_S].to_numpy(),
            values_NK=values_NK,
        )
        check_digest(metadata, _header(track))
    except (KeyError, ValueError) as error:
        fault = f"{path}: its metadata are not those of a label track ({error})"
        raise DamagedTrackError(fault, LABEL_TRACK.remedy) from None
    return track


def _choose(metadata: dict[str, str], name: str, allowed: tuple[str, ...]) -> str | None:
    value = metadata.get(name)
    if value is not None and value not in allowed:
        raise ValueError(f"{name} {value!r}")
    return value


def _describe_invalid_labels(track: LabelTrack) -> str:
    """Return what is wrong with labels; the empty text where nothing is."""
    rows = len(track.frames_N)
    if not rows:
        return "has no frame"
    if track.values_NK.shape != (rows, len(track.task.columns)) or len(track.times_s_N) != rows:
        counts = f"{count_noun(rows, 'frame')}, {count_noun(len(track.times_s_N), 'time')}"
        shapes = f"{counts}, values of shape {track.values_NK.shape}"
        return f"has {shapes}; there must be as many of each, in {len(track.task.columns)} columns"
    if fault := describe_invalid_frames(track.frames_N, track.times_s_N, track.fps):
        return fault
    inside_NK = (track.values_NK >= track.task.low) & (track.values_NK <= track.task.high)
    if track.task.is_whole:
        inside_NK &= track.values_NK == np.floor(track.values_NK)
    wrong_NK = ~(inside_NK | np.isnan(track.values_NK))
    if wrong_NK.any():
        row, column = (int(each[0]) for each in np.nonzero(wrong_NK))
        kind = "a whole number " if track.task.is_whole else ""
        return (
            f"{track.task.columns[column]} is {track.values_NK[row, column]:g} at frame {track.frames_N[row]}, "
            f"and must be {kind}from {track.task.low:g} to {track.task.high:g}"
        )
    return ""
