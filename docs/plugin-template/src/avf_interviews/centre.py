"""The face detector `centre`: a face in the middle of each picture, for corpora whose owners cut the faces out.

It looks at nothing. Where a picture has no face, or it is elsewhere, it is wrong, and no later stage can tell.
"""

from collections.abc import Sequence

import numpy as np
from avf_curation.detectors.added_finders import FaceBackend, FindFaces
from avf_curation.stages.faces import Box

_MARGIN = 1 / 6  # of each side of the picture, around the face


def load() -> FindFaces:
    """Return the function that finds faces. A network would be loaded here, once in each worker."""
    return find


def find(images: Sequence[np.ndarray], scale: float) -> list[list[Box]]:
    """Return one face for each image, in pixels of the source. scale: of the images, over the source's size."""
    faces = []
    for image in images:
        height, width = image.shape[0] / scale, image.shape[1] / scale
        x, y = width * _MARGIN, height * _MARGIN
        faces.append([Box(left=x, top=y, right=width - x, bottom=height - y)])
    return faces


BACKEND = FaceBackend(
    name="centre",
    about="A face in the middle of each picture, unseen: only for corpora of face crops.",
    pixel_format="gray",
    load=load,
)
