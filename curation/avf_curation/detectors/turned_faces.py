"""Tells faces that are upside down or lie on their side, as in a video that was turned and does not say so.

dlib finds upright faces alone. Where a face is turned it finds one in the picture that is turned back, and none, or one
of a smaller score, in the picture as it is. RetinaFace and BlazeFace find a face either way, and see its mouth where an
upright face has it.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from avf_curation.detectors.dlib_faces import DlibFaceDetector
from avf_curation.media import crop
from avf_curation.media.types import Bytes
from avf_curation.stages.faces import Box

_QUARTER_TURNS = (2, 1, 3)
_MIN_SCORE = 0.3  # dlib's, of a turned face; measured: none in 100 frames without a face at upsample 0
_UPSAMPLE = 0  # faces from 80 px on, in a quarter of the time of 1

# A face is surely upright from here on. Measured in 300 frames each: of dlib's upright faces 84 % are, of RetinaFace's
# 86 %, and of those turned by 90, 180 and 270 degrees none.
_SURE_DLIB = 0.8
_SURE_PROBABILITY = 0.998  # of the other detectors, which BlazeFace and YuNet hardly reach
_MIN_MOUTH_BELOW = 0.19  # of the box's height, below its centre
_MAX_MOUTH_BESIDE = 0.15  # of the box's width, beside its centre


def measure_turned_share(
    images: Sequence[Bytes], faces: Sequence[Iterable[Box]], scale: float, dlib: DlibFaceDetector
) -> float:
    """Return the share of the images whose face is found, or more surely, once they are turned by 90 to 270 degrees.

    It is 0 where a face is surely upright, or the middle image has no turned face: only then are the others looked at.

    Args:
        images: sampled frames of a shot, grey (H, W) or BGR (H, W, 3), `scale` times the source's size.
        faces: of each image, in source pixels.
        scale: size of the images over the size of the source.
        dlib: the detector that is asked.
    """
    if not images or any(_is_surely_upright(box) for boxes in faces for box in boxes):
        return 0.0

    def best_score(image: Bytes, turns: int) -> float:
        grey_HW = image if image.ndim == 2 else crop.to_grey(image)
        return max((box.score for box in dlib.detect(np.rot90(grey_HW, turns), scale, _UPSAMPLE, 0.0)), default=0.0)

    middle = images[len(images) // 2]
    least = max(best_score(middle, 0), _MIN_SCORE)
    turns = next((turns for turns in _QUARTER_TURNS if best_score(middle, turns) > least), None)
    if turns is None:
        return 0.0
    return sum(best_score(image, turns) > max(best_score(image, 0), _MIN_SCORE) for image in images) / len(images)


def _is_surely_upright(box: Box) -> bool:
    if box.mouth is None:  # dlib's boxes have no landmarks
        return box.score >= _SURE_DLIB
    x, y = box.centre
    return (
        box.score >= _SURE_PROBABILITY
        and box.mouth[1] - y >= _MIN_MOUTH_BELOW * box.height
        and abs(box.mouth[0] - x) <= _MAX_MOUTH_BESIDE * box.width
    )
