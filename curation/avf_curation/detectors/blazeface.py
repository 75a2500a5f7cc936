"""BlazeFace, a face detector of MediaPipe (Apache-2.0), whose file comes with the program.

OpenCV reads the file, without TensorFlow. The picture is shrunk to 256 x 256 pixels. Shapes: H height, W width, P prior
boxes, N faces.
"""

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from avf_curation.detectors.shipped_weights import BLAZEFACE
from avf_curation.detectors.weights import copy_weights
from avf_curation.media.types import Bytes
from avf_curation.stages.faces import Box, FacesConfig

_SIDE_PX = 256  # of the picture that the network takes
_GRIDS = ((16, 2), (8, 6))  # positions per side, and prior boxes at each position
_POINTS = 6  # landmarks: right eye, left eye, nose, mouth, right and left ear
_MOUTH = 3
_MAX_LOGIT = 80.0  # beyond it the exponential overflows
_SAME_FACE_IOU = 0.3  # MediaPipe's: boxes that overlap more are one face, and their mean is taken
_OUTPUTS = ("regressors", "classificators")

Floats = npt.NDArray[np.float32]


class BlazeFaceFinder:
    """The network, loaded once."""

    pixel_format: Literal["bgr24"] = "bgr24"

    def __init__(self, digest: str = BLAZEFACE.sha256) -> None:
        """Load the network. Raises ReplacedWeightsError where the file has another digest."""
        # OpenCV's newer engine reads only the first of the file's two outputs.
        with copy_weights(BLAZEFACE.path, digest) as copy:
            self._network = cv2.dnn.readNetFromTFLite(str(copy), cv2.dnn.ENGINE_CLASSIC)
        self._priors_P2 = _prior_centres()

    def find(self, images: Sequence[Bytes], scale: float, config: FacesConfig) -> list[list[Box]]:
        """Return the faces of each BGR image as boxes in source pixels."""
        return [self._find_in_image(image_HWC, scale, config.min_probability) for image_HWC in images]

    def _find_in_image(self, image_HWC: Bytes, scale: float, min_probability: float) -> list[Box]:
        height, width = image_HWC.shape[:2]
        shrink = _SIDE_PX / max(height, width)
        square_HWC, corner_2 = _fit_square(image_HWC, shrink)
        self._network.setInput(
            cv2.dnn.blobFromImage(square_HWC, 1 / 127.5, (_SIDE_PX, _SIDE_PX), (127.5, 127.5, 127.5), swapRB=True)
        )
        deltas_1PD, logits_1P1 = self._network.forward(_OUTPUTS)
        scores_P = 1 / (1 + np.exp(-np.clip(logits_1P1.reshape(-1), -_MAX_LOGIT, _MAX_LOGIT)))
        is_face_P = scores_P > min_probability
        values_N82 = deltas_1PD[0][is_face_P].reshape(-1, 2 + _POINTS, 2)
        priors_N2 = self._priors_P2[is_face_P]
        centres_N2, halves_N2 = values_N82[:, 0] + priors_N2, values_N82[:, 1] / 2
        corners_N32 = np.stack(
            [centres_N2 - halves_N2, centres_N2 + halves_N2, values_N82[:, 2 + _MOUTH] + priors_N2], 1
        )
        return _merge_boxes((corners_N32 - corner_2) / (shrink * scale), scores_P[is_face_P])


def _prior_centres() -> Floats:
    """Return the centres (x, y) of the prior boxes in pixels of the square, (P, 2)."""
    levels = []
    for positions, count in _GRIDS:
        y, x = np.meshgrid(np.arange(positions), np.arange(positions), indexing="ij")
        centres = (np.stack([x, y], -1).reshape(-1, 2) + 0.5) * (_SIDE_PX / positions)
        levels.append(np.repeat(centres, count, axis=0))
    return np.concatenate(levels).astype(np.float32)


def _fit_square(image_HWC: Bytes, shrink: float) -> tuple[Bytes, Floats]:
    """Return the image in the middle of a black square, and the place (x, y) of its upper left corner there."""
    height, width = image_HWC.shape[:2]
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    left, top = (_SIDE_PX - size[0]) // 2, (_SIDE_PX - size[1]) // 2
    square_HWC = np.zeros((_SIDE_PX, _SIDE_PX, 3), np.uint8)
    square_HWC[top : top + size[1], left : left + size[0]] = cv2.resize(image_HWC, size, interpolation=cv2.INTER_AREA)
    return square_HWC, np.array([left, top], np.float32)


def _merge_boxes(corners_N32: npt.NDArray[np.floating], scores_N: npt.NDArray[np.floating]) -> list[Box]:
    """Return one box for each group of boxes that overlap the best of them, as MediaPipe does: their weighted mean.

    corners_N32: upper left corner, lower right corner and mouth of each box.
    """
    boxes = [
        Box(left=left, top=top, right=right, bottom=bottom)
        for (left, top), (right, bottom) in corners_N32[:, :2].astype(float).tolist()
    ]
    # A box of no size, of damaged weights, has no overlap with itself.
    rest = [int(n) for n in np.argsort(-scores_N, kind="stable") if boxes[n].width > 0 and boxes[n].height > 0]
    merged = []
    while rest:
        best = boxes[rest[0]]
        group = [n for n in rest if n == rest[0] or best.iou(boxes[n]) >= _SAME_FACE_IOU]
        weights_G11 = (scores_N[group] / scores_N[group].sum()).reshape(-1, 1, 1)
        (left, top), (right, bottom), mouth = (corners_N32[group] * weights_G11).sum(0).astype(float).tolist()
        merged.append(
            Box(left=left, top=top, right=right, bottom=bottom, score=float(scores_N[rest[0]]), mouth=tuple(mouth))
        )
        rest = [n for n in rest if n not in group]
    return merged
