"""What the learned sync network and the envelope see of a mouth, from the points of the face."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avf_curation.detectors.envelope_sync import mouth_from_landmarks, mouth_patches
from avf_curation.detectors.face_mesh import FaceMesh, lip_distances, mouth_centres
from avf_curation.media.types import Bytes


@dataclass(frozen=True, kw_only=True)
class Mouth:
    """The mouth in each frame of a clip."""

    distances_TD: npt.NDArray[np.float32]  # between lips and jaw (face_mesh.lip_distances)
    patches_THWC: Bytes  # its image, as the envelope reads it


def measure_mouth(mesh: FaceMesh, faces_THWC: Bytes) -> Mouth:
    """Return the mouth of the face in a clip, BGR frames with the face about in the middle."""
    points_TP3 = mesh.find_points(faces_THWC)
    position = mouth_from_landmarks(*mouth_centres(points_TP3))
    return Mouth(distances_TD=lip_distances(points_TP3), patches_THWC=mouth_patches(faces_THWC, position))
