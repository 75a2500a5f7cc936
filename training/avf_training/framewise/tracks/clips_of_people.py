"""The people of the videos of shards: the clips of each are the footage of a track.

A track numbers the frames of its video as labels do where the records say how (`source_frames`), and else the frames of
the timeline of 25 frames a second.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from avf_shards.errors import FaultError, UserError
from avf_shards.schema.clip_record import ClipRecord
from avf_shards.schema.frame_labels import SourceFrames
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_training.data.storage import StorageConfig
from avf_training.framewise.tracks.footage import ClipFootage
from avf_training.framewise.tracks.identity import TrackSubject
from avf_training.framewise.tracks.source_frames import measure_fps, rows_of_source_frames
from avf_training.framewise.tracks.track_input import FootageStretch, TrackInput
from avf_training.inference.people import number_people_of_video
from avf_training.inference.video_clock import VideoClock
from avf_training.tasks.labelled_shards import LabelledShards

Clips = list[tuple[int, ClipRecord]]
"""Number in the shards and record of each clip of a video or of a person."""


def clip_inputs(shards: str, on_fault: Callable[[str], None], videos: Path | str | None = None) -> Iterator[TrackInput]:
    """Yield an input for each person of each video.

    Raises UserError for shards without a clip.

    Args:
        shards: a folder of shards or its address.
        on_fault: called with a sentence for each video whose people cannot be told apart, as a clip is damaged.
        videos: the input that the clips are of, whose files tell when their first picture is shown; None: at 0.
    """
    reader, clock = LabelledShards([shards], StorageConfig()), VideoClock(videos)
    clips_of: dict[tuple[str, str], Clips] = {}
    for index, record in reader.records():
        clips_of.setdefault((record.source, record.video_id), []).append((index, record))
    if not clips_of:
        raise UserError(f"{shards}: no clip in these shards")
    for (source, video_id), clips in clips_of.items():
        try:
            person_of = number_people_of_clips(reader, clips)
        except FaultError as error:
            on_fault(f"{source}/{video_id}: {error}")
            continue
        people: dict[int, Clips] = {}
        for index, record in sorted(clips, key=lambda clip: clip[1].span.start_frame):
            people.setdefault(person_of[record.key], []).append((index, record))
        for person, of_person in sorted(people.items()):
            yield TrackInput(
                subject=TrackSubject(source=source, video_id=video_id, person=person),
                fps=_fps_of(of_person),
                inputs_sha256=_digest_clips(of_person),
                read=partial(_read_clips, reader, clock, of_person),
            )


def number_people_of_clips(reader: LabelledShards, clips: Clips) -> dict[str, int]:
    """Return the number of the person in each clip of a video, by the key of the clip.

    Labels of frames are of one person, so that a video with them has one where only the largest face was kept. Raises
    FaultError for a clip that cannot be read.
    """
    records = [record for _, record in clips]
    if all(record.labels is not None and record.labels.frames and record.track == 0 for record in records):
        return {record.key: 0 for record in records}
    return number_people_of_video(reader, clips)


def source_frames_of(clips: Clips) -> list[SourceFrames] | None:
    """Return the source frames of each clip; None where a record does not say them."""
    frames = [None if record.labels is None else record.labels.source_frames for _, record in clips]
    return None if any(each is None for each in frames) else [each for each in frames if each is not None]


def _fps_of(clips: Clips) -> float:
    return measure_fps(source_frames_of(clips) or ()) or float(FRAMES_PER_SECOND)


def _read_clips(reader: LabelledShards, clock: VideoClock, clips: Clips) -> Iterator[FootageStretch]:
    of_source = source_frames_of(clips)
    for number, (index, record) in enumerate(clips):
        footage = ClipFootage(files=reader.read(index))
        if of_source is not None:
            frames = of_source[number]
            yield FootageStretch(
                footage=footage,
                frames_N=np.asarray(frames.numbers, np.int64),
                times_s_N=clock.clip_start_s(record) - record.span.start_s + np.asarray(frames.times_s),
                rows_of_frames=partial(rows_of_source_frames, frames),
            )
            continue
        rows_N = np.arange(footage.frames, dtype=np.int64)
        yield FootageStretch(
            footage=footage,
            frames_N=record.span.start_frame + 1 + rows_N,
            times_s_N=clock.clip_start_s(record) + rows_N / FRAMES_PER_SECOND,
        )


def _digest_clips(clips: Clips) -> str:
    """Return the SHA-256 of the clips' keys, files, settings and frame numbers, in hexadecimal digits."""
    listed: list[object] = [[record.key, record.input_sha256, record.fingerprint] for _, record in clips]
    if (of_source := source_frames_of(clips)) is not None:
        listed += [frames.to_json() for frames in of_source]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()
