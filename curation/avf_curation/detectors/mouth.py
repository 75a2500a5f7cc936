"""What the learned sync network and the envelope see of a mouth, from the points of the face."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avf_curation.detectors.envelope_sync import mouth_from_landmarks, mouth_patches
from avf_curation.detectors.face_mesh import FaceMesh, Floats, lip_distances, mouth_centres
from avf_curation.media.types import Bytes

EVERY = 2
"""Frames from one that the network sees to the next, in a run.

Syllables come at up to 8 a second, so 12.5 pictures a second are enough; the network takes nine tenths of the time.
"""


@dataclass(frozen=True, kw_only=True)
class Mouth:
    """The mouth in each frame of a clip."""

    distances_TD: npt.NDArray[np.float32]  # between lips and jaw (face_mesh.lip_distances)
    patches_THWC: Bytes  # its image, as the envelope reads it


def measure_mouth(mesh: FaceMesh, faces_THWC: Bytes) -> Mouth:
    """Return the mouth of the face in a clip as runs measure it, BGR frames with the face about in the middle."""
    return see_mouth(faces_THWC, mesh.find_points(faces_THWC, EVERY))


def see_mouth(faces_THWC: Bytes, points_TP3: Floats) -> Mouth:
    """Return the mouth of a face in a clip whose points are known."""
    position = mouth_from_landmarks(*mouth_centres(points_TP3))
    return Mouth(distances_TD=lip_distances(points_TP3), patches_THWC=mouth_patches(faces_THWC, position))
