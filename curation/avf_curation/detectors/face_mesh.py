"""FaceMesh (MediaPipe, Apache-2.0): 468 points on a face, and from them how far lips and jaw are apart.

The network's file comes with the program, and OpenCV reads it, without TensorFlow. Shapes: T frames, P = 468 points,
D = 11 distances.
"""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

from avf_curation.detectors.shipped_weights import FACE_MESH
from avf_curation.detectors.weights import copy_weights
from avf_curation.media.types import Bytes

POINTS = 468
_SIDE_PX = 192  # of the network's input
_MARGIN = 1.5  # side of the input over the longer side of the face, as MediaPipe has it
_SAMPLES = 5  # frames that tell where in the clip the face is
# Pairs of points: five gaps between the inner edges of the lips, three between the outer ones, the width of the mouth
# inside and outside, and from the nose to the chin.
DISTANCES = (
    *((13, 14), (82, 87), (312, 317), (81, 178), (311, 402)),
    *((0, 17), (37, 84), (267, 314)),
    *((78, 308), (61, 291), (1, 152)),
)
_EYES = (33, 263)  # outer corners: their distance is the unit
_CORNERS = (61, 291)  # of the mouth
_CHEEKS = (234, 454)

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int_]


class FaceMesh:
    """The network. It keeps no state between two frames."""

    def __init__(self, path: Path, digest: str | None = None) -> None:
        """Load the network of a file. Raises ReplacedWeightsError for one with another digest."""
        with copy_weights(path, digest) as copy:
            self._net = cv2.dnn.readNetFromTFLite(str(copy))

    @classmethod
    def from_program(cls, digest: str = FACE_MESH.sha256) -> "FaceMesh":
        """Load the network that comes with the program. Raises ReplacedWeightsError where it has another digest."""
        return cls(FACE_MESH.path, digest)

    def find_points(self, faces_THWC: Bytes, every: int = 1) -> Floats:
        """Return x, y and depth of each point in pixels, (T, P, 3).

        Args:
            faces_THWC: BGR frames of a clip: one face, upright and about in the middle.
            every: The network sees each every-th frame and the last; the points of the others lie on curves between.
        """
        rows, columns = faces_THWC.shape[1:3]
        centre, side = np.array([columns / 2, rows / 2]), float(max(rows, columns))
        samples = np.linspace(0, len(faces_THWC) - 1, min(_SAMPLES, len(faces_THWC))).astype(int)
        points_NP2 = np.stack([self._find_in(faces_THWC[t], centre, side)[:, :2] for t in samples])
        low_N2, high_N2 = points_NP2.min(axis=1), points_NP2.max(axis=1)
        centre = np.median((low_N2 + high_N2) / 2, axis=0)
        side = _MARGIN * float(np.median((high_N2 - low_N2).max(axis=1)))
        seen = measured_frames(len(faces_THWC), every)
        return fill_points(np.stack([self._find_in(faces_THWC[t], centre, side) for t in seen]), seen)

    def _find_in(self, face_HWC: Bytes, centre: npt.NDArray[np.float64], side_px: float) -> Floats:
        """Return the points (P, 3) of the face in a square of a frame."""
        scale, corner = _SIDE_PX / side_px, centre - side_px / 2
        window = np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale]], np.float32)
        square_HWC = cv2.warpAffine(face_HWC, window, (_SIDE_PX, _SIDE_PX), borderMode=cv2.BORDER_REPLICATE)
        self._net.setInput(cv2.dnn.blobFromImage(square_HWC, 1 / 255, swapRB=True))
        points_P3 = np.asarray(self._net.forward(), np.float32).reshape(POINTS, 3)
        return points_P3 / np.float32(scale) + np.array([*corner, 0], np.float32)


def measured_frames(frames: int, every: int) -> Indices:
    """Return the numbers of each every-th frame and of the last."""
    return np.unique(np.append(np.arange(0, frames, every), frames - 1))


def fill_points(points_NP3: Floats, seen: Indices) -> Floats:
    """Return the points of all frames, (T, P, 3), where those of `seen`, the first and the last among them, are known.

    The others are read from cubic splines through the known ones.
    """
    frames = int(seen[-1]) + 1
    if len(seen) == frames:
        return points_NP3
    filled: Floats = CubicSpline(seen, points_NP3)(np.arange(frames)).astype(np.float32)
    filled[seen] = points_NP3
    return filled


def lip_distances(points_TP3: Floats) -> Floats:
    """Return how far lips and jaw are apart in each frame, in distances between the eyes, (T, D)."""
    eyes = float(np.median(_distance(points_TP3, *_EYES)))
    return np.stack([_distance(points_TP3, *pair) for pair in DISTANCES], axis=1) / np.float32(max(eyes, 1.0))


def mouth_centres(points_TP3: Floats) -> tuple[npt.NDArray[np.float64], float]:
    """Return the middle between the corners of the mouth in each frame, (T, 2), and the width of the face (pixels)."""
    middles_T2 = points_TP3[:, _CORNERS, :2].mean(axis=1).astype(np.float64)
    return middles_T2, float(np.median(_distance(points_TP3, *_CHEEKS)))


def _distance(points_TP3: Floats, first: int, second: int) -> Floats:
    distance_T: Floats = np.linalg.norm(points_TP3[:, first] - points_TP3[:, second], axis=1)
    return distance_T
