"""What the gates look for, found again in a preview: the ledger stores scores and no places in the picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_curation.detectors.dlib_faces import DlibFaceDetector
from avf_curation.detectors.overlay import find_overlay
from avf_curation.media.types import Bytes
from avf_curation.stages.faces import FacesConfig

_FACE_FRAMES = 5  # frames of a preview in which faces are searched
_LOGO_FRAMES = 24  # frames from which a logo is told

Region = tuple[float, float, float, float]
"""Left, top, width and height as shares of the picture's sides."""


@dataclass(frozen=True, kw_only=True)
class PreviewMarks:
    """Places in the picture of a preview."""

    faces: tuple[tuple[float, tuple[Region, ...]], ...]  # (second of a searched frame, its faces)
    logo: Region | None  # None: none was found
    logo_known: bool  # False: too little moves to tell whether there is one


class MarkFinder:
    """Finds faces with dlib, which every run has, and logos as the quality stage does, in the picture as shown."""

    def __init__(self) -> None:
        self._detector = DlibFaceDetector()

    def find(self, frames_THWC: Sequence[Bytes], faces: FacesConfig, max_overlay_px: float) -> PreviewMarks:
        """Return the marks of a preview.

        Args:
            max_overlay_px: a logo of fewer edge pixels is not shown.
        """
        height, width = frames_THWC[0].shape[:2]
        found = []
        for index in _spread(len(frames_THWC), _FACE_FRAMES):
            boxes = self._detector.detect(_grey(frames_THWC[index]), 1.0, faces.upsample, faces.min_score)
            regions = [(box.left / width, box.top / height, box.width / width, box.height / height) for box in boxes]
            found.append((index / FRAMES_PER_SECOND, tuple(_round(region) for region in regions)))
        overlay = find_overlay([_grey(frames_THWC[index]) for index in _spread(len(frames_THWC), _LOGO_FRAMES)])
        logo = None
        if overlay is not None and overlay.box is not None and overlay.edge_px > max_overlay_px:
            left, top, box_width, box_height = overlay.box
            logo = _round((left / width, top / height, box_width / width, box_height / height))
        return PreviewMarks(faces=tuple(found), logo=logo, logo_known=overlay is not None)


def _spread(available: int, wanted: int) -> list[int]:
    return sorted({int((index + 0.5) * available / wanted) for index in range(wanted)})


def _grey(frame_HWC: Bytes) -> Bytes:
    return np.asarray(cv2.cvtColor(frame_HWC, cv2.COLOR_BGR2GRAY), np.uint8)


def _round(region: Region) -> Region:
    left, top, width, height = (round(float(value), 4) for value in region)
    return left, top, width, height
