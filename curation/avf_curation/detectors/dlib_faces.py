"""dlib's HOG face detector, which needs no weights: it detects upright faces from about 40 px on at upsample 1."""

import dlib
import numpy as np

from avf_curation.media.types import Bytes
from avf_curation.stages.faces import Box


class DlibFaceDetector:
    """dlib's detector, loaded once."""

    def __init__(self) -> None:
        self._detector = dlib.get_frontal_face_detector()

    def detect(self, grey: Bytes, scale: float, upsample: int, min_score: float) -> list[Box]:
        """Return the faces of a grey image as boxes in source pixels.

        Args:
            grey: the image (H, W), `scale` times the source's size.
            scale: size of the image over the size of the source.
            upsample: how often dlib doubles the image before it looks; 1 detects faces half as large as 0 does.
            min_score: the smallest score of a face that is returned, in dlib's units (0 is its own threshold).
        """
        rectangles, scores, _ = self._detector.run(np.ascontiguousarray(grey), upsample, min_score)
        return [
            Box(
                left=r.left() / scale,
                top=r.top() / scale,
                right=(r.right() + 1) / scale,
                bottom=(r.bottom() + 1) / scale,
                score=score,
            )
            for r, score in zip(rectangles, scores, strict=True)
        ]
