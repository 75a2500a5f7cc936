"""One interface to the detectors that the faces stage may search with; dlib alone, and joined by BlazeFace."""

from collections.abc import Sequence
from typing import Literal, Protocol

from avf_curation.detectors.dlib_faces import DlibFaceDetector
from avf_curation.media import crop
from avf_curation.media.types import Bytes
from avf_curation.stages.faces import Box, FacesConfig

JOINED_IOU = 0.1  # boxes of two detectors that overlap more are one face


class FaceFinder(Protocol):
    """Finds the faces of the sampled frames of a shot."""

    @property
    def pixel_format(self) -> Literal["gray", "bgr24"]:
        """The pixels that `find` takes."""
        ...

    def find(self, images: Sequence[Bytes], scale: float, config: FacesConfig) -> list[list[Box]]:
        """Return the faces of each image, in pixels of the source.

        images: of one size, `scale` times that of the source.
        """
        ...


class DlibFinder:
    """dlib alone, on grey frames."""

    pixel_format: Literal["gray"] = "gray"

    def __init__(self, detector: DlibFaceDetector) -> None:
        self._detector = detector

    def find(self, images: Sequence[Bytes], scale: float, config: FacesConfig) -> list[list[Box]]:
        """Return the faces of each grey image, (H, W)."""
        return [self._detector.detect(image_HW, scale, config.upsample, config.min_score) for image_HW in images]


class JoinedFinder:
    """dlib, and the faces that BlazeFace finds beside: small, turned and half hidden ones, and those of a crowd."""

    pixel_format: Literal["bgr24"] = "bgr24"

    def __init__(self, dlib: DlibFaceDetector, blazeface: FaceFinder) -> None:
        self._dlib, self._blazeface = DlibFinder(dlib), blazeface

    def find(self, images: Sequence[Bytes], scale: float, config: FacesConfig) -> list[list[Box]]:
        """Return the faces of each BGR image, those of dlib first."""
        by_dlib = self._dlib.find([crop.to_grey(image_HWC) for image_HWC in images], scale, config)
        by_blazeface = self._blazeface.find(images, scale, config)
        return [join_faces(first, second) for first, second in zip(by_dlib, by_blazeface, strict=True)]


def join_faces(first: list[Box], second: list[Box]) -> list[Box]:
    """Return the faces of one detector and those that only the second one found."""
    return first + [box for box in second if all(box.iou(other) <= JOINED_IOU for other in first)]
