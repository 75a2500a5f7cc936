"""Numbers for the people of a video that stay the same from shot to shot.

Clips number the people of each shot by the size of their faces. Nobody is recognized here: each person of a shot gets
the number of who looked most alike at the end of an earlier shot, in face, hair, clothes and background. In a long
take, which is cut into parts, these are the same picture; after a cut the number is a guess.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from avf_shards.schema.clip_record import ClipRecord

from avf_training.inference.clip_pictures import thumbnails
from avf_training.tasks.labelled_shards import LabelledShards

Look = npt.NDArray[np.float32]  # (8, 8, 3), a picture of a person

_LOOK_PX = 8


def number_people(shards: LabelledShards) -> dict[str, int]:
    """Return the number of the person in each clip, from 0 in each video, by the key of the clip."""
    videos: dict[tuple[str, str], list[tuple[int, ClipRecord]]] = {}
    for index, record in shards.records():
        videos.setdefault((record.source, record.video_id), []).append((index, record))
    person_of: dict[str, int] = {}
    for clips in videos.values():
        shots = {record.span for _, record in clips}
        if len(shots) > 1 and any(record.track for _, record in clips):
            person_of |= _follow_people(shards, clips)
        else:
            person_of |= {record.key: record.track for _, record in clips}
    return person_of


def _follow_people(shards: LabelledShards, clips: Sequence[tuple[int, ClipRecord]]) -> dict[str, int]:
    shots: dict[int, list[tuple[int, ClipRecord]]] = {}
    for index, record in sorted(clips, key=lambda clip: (clip[1].span.start_frame, clip[1].track)):
        shots.setdefault(record.span.start_frame, []).append((index, record))
    person_of: dict[str, int] = {}
    last_looks: dict[int, Look] = {}
    for shot in shots.values():
        ends = [[_look(picture) for picture in thumbnails(shards.read(index), 2)] for index, _ in shot]
        people = match_people(last_looks, [first for first, _ in ends])
        person_of |= {record.key: person for (_, record), person in zip(shot, people, strict=True)}
        last_looks |= {person: last for person, (_, last) in zip(people, ends, strict=True)}
    return person_of


def match_people(known: Mapping[int, Look], looks: Sequence[Look]) -> list[int]:
    """Return the number of each person of a shot: of the known person who looks most alike, or the first unused one."""
    distances = [
        (float(np.abs(known[person] - look).mean()), index, person)
        for person in known
        for index, look in enumerate(looks)
    ]
    matched: dict[int, int] = {}
    for _, index, person in sorted(distances):
        if index not in matched and person not in matched.values():
            matched[index] = person
    unused = (person for person in range(len(known) + len(looks)) if person not in matched.values())
    new = {index: next(unused) for index in range(len(looks)) if index not in matched}
    return [(matched | new)[index] for index in range(len(looks))]


def _look(picture_HWC: npt.NDArray[np.uint8]) -> Look:
    height, width, channels = picture_HWC.shape
    blocks = picture_HWC.reshape(_LOOK_PX, height // _LOOK_PX, _LOOK_PX, width // _LOOK_PX, channels)
    means: Look = blocks.mean((1, 3), dtype=np.float32)
    return means
