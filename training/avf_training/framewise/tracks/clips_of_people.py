"""The people of the videos of shards: the clips of each are the footage of a track, at 25 frames a second."""

import hashlib
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from avf_shards.errors import FaultError, UserError
from avf_shards.schema.clip_record import ClipRecord
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_training.data.storage import StorageConfig
from avf_training.framewise.tracks.extraction import FootageStretch, TrackInput
from avf_training.framewise.tracks.footage import ClipFootage
from avf_training.framewise.tracks.identity import TrackSubject
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
            person_of = number_people_of_video(reader, clips)
        except FaultError as error:
            on_fault(f"{source}/{video_id}: {error}")
            continue
        people: dict[int, Clips] = {}
        for index, record in sorted(clips, key=lambda clip: clip[1].span.start_frame):
            people.setdefault(person_of[record.key], []).append((index, record))
        for person, of_person in sorted(people.items()):
            yield TrackInput(
                subject=TrackSubject(source=source, video_id=video_id, person=person),
                fps=float(FRAMES_PER_SECOND),
                inputs_sha256=_digest_clips(of_person),
                read=partial(_read_clips, reader, clock, of_person),
            )


def _read_clips(reader: LabelledShards, clock: VideoClock, clips: Clips) -> Iterator[FootageStretch]:
    for index, record in clips:
        footage = ClipFootage(files=reader.read(index))
        rows_N = np.arange(footage.frames, dtype=np.int64)
        yield FootageStretch(
            footage=footage,
            frames_N=record.span.start_frame + 1 + rows_N,
            times_s_N=clock.clip_start_s(record) + rows_N / FRAMES_PER_SECOND,
        )


def _digest_clips(clips: Clips) -> str:
    """Return the SHA-256 of the clips' keys, files and the settings that cut them, in hexadecimal digits."""
    listed = [[record.key, record.input_sha256, record.fingerprint] for _, record in clips]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()
