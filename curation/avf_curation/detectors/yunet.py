"""YuNet, a small face detector in OpenCV (MIT), whose weights are pulled."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from avf_shards.errors import UserError

from avf_curation.detectors.weights import copy_weights
from avf_curation.media.types import Bytes
from avf_curation.stages.faces import Box, FacesConfig

_MAX_FACES = 5000  # boxes before those of one face are merged; OpenCV's default
_SCORE = 14  # column of the result: box (4), five points (10), score
_MOUTH = slice(10, 14)  # columns of the corners of the mouth


class YuNetFinder:
    """The network, loaded once."""

    pixel_format: Literal["bgr24"] = "bgr24"

    def __init__(self, path: Path, digest: str | None = None) -> None:
        """Load the network. Raises UserError for a file that OpenCV cannot read as one, or with another digest."""
        with copy_weights(path, digest) as copy:
            try:
                self._network = cv2.FaceDetectorYN.create(str(copy), "", (320, 320), top_k=_MAX_FACES)
            except cv2.error:
                raise UserError(f"{path}: is no YuNet that OpenCV {cv2.__version__} reads") from None

    def find(self, images: Sequence[Bytes], scale: float, config: FacesConfig) -> list[list[Box]]:
        """Return the faces of each BGR image as boxes in source pixels with the centre of the mouth."""
        self._network.setScoreThreshold(config.min_probability)
        self._network.setNMSThreshold(config.nms_iou)
        faces_per_image = []
        for image_HWC in images:
            height, width = image_HWC.shape[:2]
            self._network.setInputSize((width, height))
            _, rows = self._network.detect(np.ascontiguousarray(image_HWC))
            faces_per_image.append([] if rows is None else [_to_box(row, scale) for row in rows])
        return faces_per_image


def _to_box(row: np.ndarray, scale: float) -> Box:
    left, top, width, height = (float(value) / scale for value in row[:4])
    right_x, right_y, left_x, left_y = (float(value) / scale for value in row[_MOUTH])
    return Box(
        left=left,
        top=top,
        right=left + width,
        bottom=top + height,
        score=float(row[_SCORE]),
        mouth=((right_x + left_x) / 2, (right_y + left_y) / 2),
    )
