"""Who a face is, as 128 numbers: dlib's face recognition network (CC0), whose weights are pulled.

Of two pictures of one person the numbers lie about 0.3 apart, of two people 0.6 and more. FaceMesh finds the corners of
the eyes and the base of the nose, by which the network's authors put a face in its place in the picture.

Shapes: T frames, H height, W width, C = 3 channels (BGR), D = 128.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import dlib
import numpy as np
import numpy.typing as npt
from avf_shards.errors import UserError

from avf_curation.detectors.face_mesh import FaceMesh
from avf_curation.detectors.weights import copy_weights
from avf_curation.media.types import Bytes

_SIDE_PX = 150  # of the picture that the network takes
_PADDING = 0.25  # of the mean face's side, around it
# Points of FaceMesh, and where they are in the authors' mean face, whose sides are 1: outer and inner corner of the
# eye at the right of the picture, of the one at its left, and the base of the nose.
_POINTS = (263, 362, 33, 133, 2)
_MEAN_FACE = (
    *((0.8595674595992, 0.2134981538014), (0.6460604764104, 0.2289674387677)),
    *((0.1205750620789, 0.2137274526848), (0.3340850613712, 0.2290642403242)),
    (0.4901123135679, 0.6277975316475),
)

Floats = npt.NDArray[np.float64]


class FaceEmbedder:
    """The network, loaded once. It keeps no state between two faces."""

    def __init__(self, path: Path, mesh: FaceMesh, digest: str | None = None) -> None:
        """Load the network of a file.

        Args:
            path: the weights.
            mesh: finds the points of a face.
            digest: the start of the file's SHA-256, as the run's identity has it; None takes any file.

        Raises:
            ReplacedWeightsError: the file has another digest.
            UserError: the file holds something else.
        """
        self._mesh = mesh
        with copy_weights(path, digest) as copy:
            try:
                self._network = dlib.face_recognition_model_v1(str(copy))
            except RuntimeError:
                raise UserError(f"{path}: does not hold dlib's face recognition network") from None

    def embed(self, faces: Sequence[Bytes]) -> Floats:
        """Return the embedding of each face, (faces, D), whatever the others are.

        Args:
            faces: BGR pictures with one face each, upright and about in the middle.
        """
        return np.stack([self._embed_face(face_HWC) for face_HWC in faces])

    def _embed_face(self, face_HWC: Bytes) -> Floats:
        points_P2 = self._mesh.find_points(face_HWC[None])[0, _POINTS, :2].astype(np.float64)
        chip_HWC = cv2.warpAffine(face_HWC, _fit_mean_face(points_P2), (_SIDE_PX, _SIDE_PX))
        rgb_HWC = np.ascontiguousarray(chip_HWC[..., ::-1])
        return np.asarray(self._network.compute_face_descriptor(rgb_HWC), np.float64)


def _fit_mean_face(points_P2: Floats) -> Floats:
    """Return the rotation, scale and shift (2, 3) that bring points closest to the mean face's."""
    target_P2 = (np.asarray(_MEAN_FACE) + _PADDING) / (1 + 2 * _PADDING) * _SIDE_PX
    x_P, y_P = points_P2.T
    one_P, zero_P = np.ones_like(x_P), np.zeros_like(x_P)
    # x' = a x - b y + c, y' = b x + a y + d
    rows_EK = np.concatenate(
        [np.stack([x_P, -y_P, one_P, zero_P], axis=1), np.stack([y_P, x_P, zero_P, one_P], axis=1)]
    )
    a, b, c, d = np.linalg.lstsq(rows_EK, target_P2.T.reshape(-1), rcond=None)[0]
    return np.array([[a, -b, c], [b, a, d]])
