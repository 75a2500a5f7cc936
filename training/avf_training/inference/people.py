"""Numbers for the people of a video that stay the same from shot to shot.

Clips number the people of each shot by the size of their faces. Nobody is recognized here: a person of a shot gets the
number of who looked most alike in an earlier shot, in face, hair, clothes and background, or a new number where nobody
looked alike enough. In a long take, which is cut into parts, these are the same picture; after a cut a number is a
guess.
"""

from collections.abc import Mapping, Sequence
from itertools import count

import numpy as np
import numpy.typing as npt
from avf_shards.schema.clip_record import ClipRecord

from avf_training.inference.clip_pictures import thumbnails
from avf_training.tasks.labelled_shards import LabelledShards

Look = npt.NDArray[np.float32]  # (8, 8, 3), a picture of a person

_LOOK_PX = 8
_PICTURES = 3  # of a clip: people move
# Mean difference of two looks, of 255 levels, up to which they are of one person. Of 23 people, the nearest of three
# pictures from each half of their video differ by at most 18; of 432 pairs of people from different films, by at least
# 23. Two people in like clothes before the same wall can be nearer.
_MAX_DIFFERENCE = 22.0


def number_people(shards: LabelledShards) -> dict[str, int]:
    """Return the number of the person in each clip, from 0 in each video, by the key of the clip."""
    videos: dict[tuple[str, str], list[tuple[int, ClipRecord]]] = {}
    for index, record in shards.records():
        videos.setdefault((record.source, record.video_id), []).append((index, record))
    person_of: dict[str, int] = {}
    for clips in videos.values():
        person_of |= number_people_of_video(shards, clips)
    return person_of


def number_people_of_video(shards: LabelledShards, clips: Sequence[tuple[int, ClipRecord]]) -> dict[str, int]:
    """Return what `number_people` does for the clips of one video. Raises FaultError for a clip that cannot be read."""
    if len({record.span for _, record in clips}) > 1:
        return _follow_people(shards, clips)
    return {record.key: record.track for _, record in clips}


def _follow_people(shards: LabelledShards, clips: Sequence[tuple[int, ClipRecord]]) -> dict[str, int]:
    shots: dict[int, list[tuple[int, ClipRecord]]] = {}
    for index, record in sorted(clips, key=lambda clip: (clip[1].span.start_frame, clip[1].track)):
        shots.setdefault(record.span.start_frame, []).append((index, record))
    person_of: dict[str, int] = {}
    known: dict[int, list[Look]] = {}
    for shot in shots.values():
        looks = [[_look(picture) for picture in thumbnails(shards.read(index), _PICTURES)] for index, _ in shot]
        people = match_people(known, looks)
        person_of |= {record.key: person for (_, record), person in zip(shot, people, strict=True)}
        for person, pictures in zip(people, looks, strict=True):
            known.setdefault(person, []).extend(pictures)
    return person_of


def match_people(known: Mapping[int, Sequence[Look]], shot: Sequence[Sequence[Look]]) -> list[int]:
    """Return the number of each person of a shot: of the known person who looks most alike, or a new one.

    Args:
        known: the looks of each person in earlier shots, by number.
        shot: the looks of each person of the shot.
    """
    differences = [
        (min(float(np.abs(before - now).mean()) for before in known[person] for now in looks), index, person)
        for person in known
        for index, looks in enumerate(shot)
    ]
    matched: dict[int, int] = {}
    for difference, index, person in sorted(differences):
        if difference <= _MAX_DIFFERENCE and index not in matched and person not in matched.values():
            matched[index] = person
    new = count(max(known, default=-1) + 1)
    return [matched[index] if index in matched else next(new) for index in range(len(shot))]


def _look(picture_HWC: npt.NDArray[np.uint8]) -> Look:
    height, width, channels = picture_HWC.shape
    blocks = picture_HWC.reshape(_LOOK_PX, height // _LOOK_PX, _LOOK_PX, width // _LOOK_PX, channels)
    means: Look = blocks.mean((1, 3), dtype=np.float32)
    return means
