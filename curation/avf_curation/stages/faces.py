"""Stage 2, faces: a few sampled frames per shot must show exactly one undistorted face (AVF-MAE++ 4.1, step 2)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from avf_shards.schema.ledger import Check
from avf_shards.settings.config import refuse

STAGE = "faces"
FacesBackend = Literal["auto", "dlib", "retinaface", "yunet", "blazeface"]
MAX_SAMPLES = 25  # frames per shot; screening holds at most 32 of a shot (pipeline/screening.py)


@dataclass(frozen=True, kw_only=True)
class Box:
    """A detected face and its bounding box."""

    # Edges in pixels of the source frame; they may lie outside the frame.
    left: float  # x of the left edge
    top: float  # y of the upper edge
    right: float  # x of the right edge
    bottom: float  # y of the lower edge
    score: float = 1.0  # the detector's own scale
    mouth: tuple[float, float] | None = None  # centre (x, y) in source pixels; None from a detector without landmarks

    @property
    def width(self) -> float:
        """The width in source pixels."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """The height in source pixels."""
        return self.bottom - self.top

    @property
    def side(self) -> float:
        """The longer of width and height."""
        return max(self.width, self.height)

    @property
    def centre(self) -> tuple[float, float]:
        """The centre (x, y) in source pixels."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    @property
    def square(self) -> tuple[float, float, float]:
        """The centre (x, y) and the side of the square from brow to chin, which is the same whatever the detector.

        dlib's and BlazeFace's boxes are this square; RetinaFace's and YuNet's are narrower, and reach up to the hair:
        on the real clips 0.91 as wide, 1.26 as high, and 0.06 lower.
        """
        side = 0.75 * self.width + 0.25 * self.height
        y = self.bottom - side / 2 - 0.17 * (self.height - self.width)
        return (self.left + self.right) / 2, y, side

    def iou(self, other: "Box") -> float:
        """Return the intersection over union with another box."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        if width <= 0 or height <= 0:
            return 0.0
        intersection = width * height
        return intersection / (self.width * self.height + other.width * other.height - intersection)

    def share_inside(self, width_px: float, height_px: float) -> float:
        """Return the share of the box's area that lies inside a frame of this size."""
        width = min(self.right, width_px) - max(self.left, 0.0)
        height = min(self.bottom, height_px) - max(self.top, 0.0)
        return max(0.0, width) * max(0.0, height) / (self.width * self.height)


@dataclass(frozen=True, kw_only=True)
class FacesConfig:
    """Settings of the faces stage. Where the thresholds come from: recipes/default.yaml."""

    #: auto: RetinaFace where the track stage has it, else dlib joined by BlazeFace, or dlib alone without its package.
    backend: FacesBackend
    samples: int  # frames per shot in which faces are detected
    side_px: int  # the longer side of a sampled frame is shrunk to this
    upsample: int  # times that dlib doubles the frame before it detects, 0 to 2
    min_score: float  # dlib's own scale
    min_probability: float  # of RetinaFace, YuNet and BlazeFace, 0 to 1
    nms_iou: float  # RetinaFace and YuNet: of two boxes that overlap more, the better is kept
    max_turned_share: float  # of the sampled frames
    max_no_face_share: float  # of the sampled frames
    max_several_share: float  # of the sampled frames
    min_face_px: float  # median face width in source pixels
    max_size_ratio: float  # largest over smallest face area in the shot
    min_inside: float  # median share of the face's box that lies inside the frame
    min_aspect: float  # smallest width over height of a face
    max_aspect: float  # largest width over height of a face

    def __post_init__(self) -> None:
        refuse(
            (not 1 <= self.samples <= MAX_SAMPLES, f"samples {self.samples} is not between 1 and {MAX_SAMPLES}"),
            (not 0 <= self.upsample <= 2, f"upsample {self.upsample} is not 0, 1 or 2"),
        )


@dataclass(frozen=True, kw_only=True)
class FacesScores:
    """Face statistics of a shot. Box statistics use the largest face of each frame; None where no frame has a face."""

    counts: tuple[int, ...]  # faces in each sampled frame
    no_face_share: float  # share of sampled frames without a face
    several_share: float  # share of sampled frames with more than one face
    face_px: float | None  # median face width in source pixels
    size_ratio: float | None  # largest over smallest face area
    inside: float | None  # median share of the face's box inside the frame
    aspect_low: float | None  # smallest width over height
    aspect_high: float | None  # largest width over height
    turned_share: float = 0.0  # share of sampled frames whose face is upside down or lies on its side

    def record(self) -> dict[str, Any]:
        """Return the measurements as the ledger stores them."""
        histogram = {str(count): n for count, n in sorted(Counter(self.counts).items())}
        box = {"face_px": self.face_px, "size_ratio": self.size_ratio, "inside": self.inside}
        aspects = {"aspect_low": self.aspect_low, "aspect_high": self.aspect_high}
        values = box | aspects | {"turned_share": self.turned_share}
        rounded = {name: None if value is None else round(value, 4) for name, value in values.items()}
        return {"faces_per_frame": histogram, "frames": len(self.counts)} | rounded


def measure(faces: Sequence[Sequence[Box]], width_px: int, height_px: int, turned_share: float = 0.0) -> FacesScores:
    """Return the face statistics of a shot from the faces of each sampled frame, all in source pixels.

    turned_share: share of these frames whose face is upside down or lies on its side.
    """
    counts = tuple(len(boxes) for boxes in faces)
    share = 1 / max(1, len(counts))
    no_face_share, several_share = counts.count(0) * share, sum(count > 1 for count in counts) * share
    largest = [max(boxes, key=lambda box: box.width * box.height) for boxes in faces if boxes]
    if not largest:
        return FacesScores(
            counts=counts,
            # A shot of which no frame could be decoded has no face either.
            no_face_share=no_face_share if counts else 1.0,
            several_share=several_share,
            face_px=None,
            size_ratio=None,
            inside=None,
            aspect_low=None,
            aspect_high=None,
            turned_share=turned_share,
        )
    areas = [box.width * box.height for box in largest]
    aspects = [box.width / box.height for box in largest]
    return FacesScores(
        counts=counts,
        no_face_share=no_face_share,
        several_share=several_share,
        face_px=float(np.median([box.width for box in largest])),
        size_ratio=max(areas) / min(areas),
        inside=float(np.median([box.share_inside(width_px, height_px) for box in largest])),
        aspect_low=min(aspects),
        aspect_high=max(aspects),
        turned_share=turned_share,
    )


def decide(scores: FacesScores, config: FacesConfig) -> tuple[Check, ...]:
    """Check that the shot shows one face alone: upright, large enough, not cut off, of steady size and shape."""
    return (*_check_presence(scores, config), *_check_boxes(scores, config))


def _check_presence(scores: FacesScores, config: FacesConfig) -> tuple[Check, ...]:
    return (
        Check(
            stage=STAGE,
            reason="turned",
            score=scores.turned_share,
            operator="<=",
            threshold=config.max_turned_share,
            setting="faces.max_turned_share",
        ),
        Check(
            stage=STAGE,
            reason="no_face",
            score=scores.no_face_share,
            operator="<=",
            threshold=config.max_no_face_share,
            setting="faces.max_no_face_share",
        ),
        Check(
            stage=STAGE,
            reason="several_faces",
            score=scores.several_share,
            operator="<=",
            threshold=config.max_several_share,
            setting="faces.max_several_share",
        ),
    )


def _check_boxes(scores: FacesScores, config: FacesConfig) -> tuple[Check, ...]:
    return (
        Check(
            stage=STAGE,
            reason="too_small",
            score=scores.face_px,
            operator=">=",
            threshold=config.min_face_px,
            setting="faces.min_face_px",
        ),
        Check(
            stage=STAGE,
            reason="size_jump",
            score=scores.size_ratio,
            operator="<=",
            threshold=config.max_size_ratio,
            setting="faces.max_size_ratio",
        ),
        Check(
            stage=STAGE,
            reason="out_of_frame",
            score=scores.inside,
            operator=">=",
            threshold=config.min_inside,
            setting="faces.min_inside",
        ),
        Check(
            stage=STAGE,
            reason="too_narrow",
            score=scores.aspect_low,
            operator=">=",
            threshold=config.min_aspect,
            setting="faces.min_aspect",
        ),
        Check(
            stage=STAGE,
            reason="too_wide",
            score=scores.aspect_high,
            operator="<=",
            threshold=config.max_aspect,
            setting="faces.max_aspect",
        ),
    )


def sample_indices(start_frame: int, stop_frame: int, available: Sequence[int], samples: int) -> list[int]:
    """Return the available frame indices nearest to `samples` evenly spread positions, each once and in order."""
    if not available:
        return []
    # Centres of equal parts: the first and last frames of a shot often still belong to a cut or a fade.
    positions = start_frame + (np.arange(samples) + 0.5) * (stop_frame - start_frame) / samples
    indices = np.asarray(available)
    return sorted({int(indices[np.argmin(np.abs(indices - position))]) for position in positions})
