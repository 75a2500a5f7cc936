"""Labels of frames out of the records of clips: those of each person of a video, put together from its clips."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast, get_args

import numpy as np
from avf_shards.errors import FaultError, UserError
from avf_shards.schema.clip_record import ClipRecord
from avf_shards.schema.frame_labels import FrameLabels, SourceFrames

from avf_training.data.storage import StorageConfig
from avf_training.framewise.labels.label_track import LabelTrack, SceneName, SplitName
from avf_training.framewise.labels.tasks import TASKS_OF_FRAMES, FrameLabelTask
from avf_training.framewise.tracks.clips_of_people import Clips, number_people_of_clips, source_frames_of
from avf_training.framewise.tracks.identity import TrackSubject
from avf_training.framewise.tracks.source_frames import measure_fps
from avf_training.tasks.labelled_shards import LabelledShards


def read_shard_labels(shards: str, on_fault: Callable[[str], None]) -> Iterator[LabelTrack]:
    """Yield the labels of every person and task of the shards.

    Raises UserError where no clip has labels of frames.

    Args:
        shards: a folder of shards or its address.
        on_fault: called with a sentence for each video or clip whose labels cannot be used.
    """
    reader = LabelledShards([shards], StorageConfig())
    clips_of: dict[tuple[str, str], Clips] = {}
    for index, record in reader.records():
        if record.labels is not None and record.labels.frames:
            clips_of.setdefault((record.source, record.video_id), []).append((index, record))
    if not clips_of:
        raise UserError(
            f"{shards}: no clip has labels of frames; sources with such labels are marked in `avf-curate sources ls`"
        )
    for (source, video_id), clips in clips_of.items():
        name = f"{source}/{video_id}"
        try:
            person_of = number_people_of_clips(reader, clips)
        except FaultError as error:
            on_fault(f"{name}: {error}")
            continue
        people: dict[int, Clips] = {}
        for index, record in sorted(clips, key=lambda clip: clip[1].span.start_frame):
            people.setdefault(person_of[record.key], []).append((index, record))
        for person, of_person in sorted(people.items()):
            yield from _join_clips(TrackSubject(source=source, video_id=video_id, person=person), of_person, on_fault)


@dataclass(kw_only=True)
class _FrameTable:
    """Labels of one task by the number of the frame."""

    values: dict[int, list[float]] = field(default_factory=dict)  # in the task's columns
    times_s: dict[int, float] = field(default_factory=dict)


def _join_clips(subject: TrackSubject, clips: Clips, on_fault: Callable[[str], None]) -> Iterator[LabelTrack]:
    frames = source_frames_of(clips)
    fps = None if frames is None else measure_fps(frames)
    if frames is None or fps is None:
        on_fault(f"{subject}: its records do not say which frames of the source they show; curate it again")
        return
    first = clips[0][1]
    for task in TASKS_OF_FRAMES.values():
        table = _FrameTable()
        for (_, record), of_clip in zip(clips, frames, strict=True):
            assert record.labels is not None
            labels = record.labels.frames.get(task.record_name)
            if labels is not None and labels.frames and _has_columns(labels, task, record, on_fault):
                _add_labels(table, labels, task, of_clip, fps)
        if table.values:
            numbers = sorted(table.values)
            assert first.labels is not None
            yield LabelTrack(
                subject=subject,
                task=task,
                split=_split_of(first, task, on_fault),
                group=first.group_id,
                person=first.labels.subject or first.speaker,
                scene=_scene_of(first),
                fps=fps,
                frames_N=np.array(numbers, np.int64),
                times_s_N=(first.start_s or 0.0) + np.array([table.times_s[number] for number in numbers]),
                values_NK=np.array([table.values[number] for number in numbers], np.float32),
            )


def _has_columns(
    labels: FrameLabels, task: FrameLabelTask, record: ClipRecord, on_fault: Callable[[str], None]
) -> bool:
    missing = [name for name in task.columns if name not in labels.columns]
    if missing and len(missing) == len(task.columns):
        on_fault(f"{record.key}: its {task.record_name} have no column {missing[0]}")
    return len(missing) < len(task.columns)


def _add_labels(
    table: _FrameTable, labels: FrameLabels, task: FrameLabelTask, frames: SourceFrames, fps: float
) -> None:
    """Add the labels of a clip. A column that a corpus does not annotate, as AU25 in BP4D, is not valid anywhere."""
    numbers_N = np.arange(labels.first_frame, labels.first_frame + labels.frames)
    times_s_N = np.interp(numbers_N, frames.numbers, frames.times_s)
    times_s_N += np.maximum(0, numbers_N - frames.numbers[-1]) / fps  # labels behind the last frame of the video
    unknown = [float("nan")] * labels.frames
    columns = [labels.columns.get(name, unknown) for name in task.columns]
    for number, time_s, *values in zip(numbers_N.tolist(), times_s_N.tolist(), *columns, strict=True):
        if number not in table.values:  # a frame across a cut is in both clips
            table.values[number], table.times_s[number] = values, time_s


def _split_of(record: ClipRecord, task: FrameLabelTask, on_fault: Callable[[str], None]) -> SplitName | None:
    assert record.labels is not None
    name = record.labels.values.get(f"{task.record_name}_set") or record.labels.values.get("set")
    if not name:
        return None
    if name not in get_args(SplitName):
        on_fault(f"{record.source}/{record.video_id}: the set {name!r} is none of {', '.join(get_args(SplitName))}")
        return None
    return cast(SplitName, name)


def _scene_of(record: ClipRecord) -> SceneName | None:
    assert record.labels is not None
    name = record.labels.values.get("scene")
    return cast(SceneName, name) if name in get_args(SceneName) else None
