"""dlib's HOG face detector: needs no download. Finds upright faces from about 40 px (upsample 1)."""

import dlib
import numpy as np

from avf_curation.media.types import Bytes
from avf_curation.stages.faces import Box


class DlibFaceDetector:
    """Warm detector. Boxes come back in source pixels."""

    def __init__(self) -> None:
        self._detector = dlib.get_frontal_face_detector()

    def detect(self, grey: Bytes, scale: float, upsample: int, min_score: float) -> list[Box]:
        """Faces in `grey` (H, W), which is the source times `scale`."""
        found, scores, _ = self._detector.run(np.ascontiguousarray(grey), upsample, min_score)
        return [
            Box(
                left=r.left() / scale,
                top=r.top() / scale,
                right=(r.right() + 1) / scale,
                bottom=(r.bottom() + 1) / scale,
                score=score,
            )
            for r, score in zip(found, scores, strict=True)
        ]
