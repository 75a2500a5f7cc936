"""Who speaks: the faces of a span, cut and scored as the speaker stage needs them."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from avf_curation.detectors.detector_set import Detectors
from avf_curation.media.decode import MediaFile
from avf_curation.media.types import Bytes, Samples
from avf_curation.pipeline import refining
from avf_curation.stages import speaker, tracking

if TYPE_CHECKING:  # it imports torch, which only runs with the network need
    from avf_curation.detectors.lr_asd import LrAsdScores


@dataclass(frozen=True, kw_only=True)
class ScoredFaces:
    """The faces of a span with what the network says of each, the largest face first."""

    faces: list[Bytes]  # (T, 112, 112) grey: each face in each frame
    scores: "list[LrAsdScores]"  # of each face

    def measure(self, samples: Samples, *, others_count: bool) -> speaker.SpeakerScores:
        """Return the measurements of the face that speaks most; arguments as speaker.measure has them."""
        scores_FT = [scores.scores_T for scores in self.scores]
        grey_THW = self.faces[speaker.choose_speaker(scores_FT)]
        return speaker.measure(scores_FT, grey_THW, samples, others_count=others_count)


def score_faces(faces: list[Bytes], samples: Samples, detectors: Detectors) -> ScoredFaces:
    """Score each face, (T, 112, 112) grey, with the sound of its frames. The worker must have the network."""
    return ScoredFaces(faces=faces, scores=[detectors.lr_asd.score(face_THW, samples) for face_THW in faces])


def crop_faces(
    media: MediaFile, frames: refining.DetectorFrames, tracks: list[tracking.Track], detectors: Detectors
) -> list[Bytes]:
    """Return the face of each track in each frame, (T, 112, 112) grey, from one reading. Raises MediaError."""
    paths = [refining.speaker_path(track) for track in tracks]
    faces: list[list[Bytes]] = [[] for _ in tracks]
    for t, frame_HWC in enumerate(refining.read_source_frames(media, frames, detectors)):
        for number, path in enumerate(paths):
            faces[number].append(path.crop(frame_HWC, t))
    return [np.stack(face) for face in faces]


def put_speaker_first(
    tracks: list[tracking.Track], speaking: int, frames: refining.DetectorFrames, max_blend: float
) -> list[tracking.Track]:
    """Return the tracks with that of the speaker first, with the measure that the first one of a span has."""
    if speaking == 0:
        return tracks
    others = [replace(track, blend=0.0, blend_frames=tracking.NO_FRAMES) for track in tracks]
    first = refining.with_blend(others.pop(speaking), frames, max_blend)
    return [first, *others]
