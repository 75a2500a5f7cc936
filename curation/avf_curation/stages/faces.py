"""Stage 2, faces: a few sampled frames per shot must show exactly one undistorted face (AVF-MAE++ 4.1, step 2)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from avf_shards.schema.ledger import Check

STAGE = "faces"


@dataclass(frozen=True, kw_only=True)
class Box:
    """A face in source pixels: left, top, right, bottom, and the detector's score. `mouth`: centre, if it is known."""

    left: float
    top: float
    right: float
    bottom: float
    score: float = 1.0
    mouth: tuple[float, float] | None = None

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def side(self) -> float:
        return max(self.width, self.height)

    @property
    def centre(self) -> tuple[float, float]:
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def iou(self, other: "Box") -> float:
        """Intersection over union."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        if width <= 0 or height <= 0:
            return 0.0
        both = width * height
        return both / (self.width * self.height + other.width * other.height - both)

    def inside(self, width_px: float, height_px: float) -> float:
        """Share of the box's area that lies in the picture."""
        width = min(self.right, width_px) - max(self.left, 0.0)
        height = min(self.bottom, height_px) - max(self.top, 0.0)
        return max(0.0, width) * max(0.0, height) / (self.width * self.height)


@dataclass(frozen=True, kw_only=True)
class FacesConfig:
    """samples: frames looked at per shot; side_px: their longer side is shrunk to this; upsample: dlib's, 0 to 2.

    Shares are of the sampled frames. min_face_px: median face width in source pixels.
    max_size_ratio: largest over smallest face area in the shot. min_inside: share of the face's box in the picture.
    """

    samples: int
    side_px: int
    upsample: int
    min_score: float
    max_no_face_share: float
    max_several_share: float
    min_face_px: float
    max_size_ratio: float
    min_inside: float
    min_aspect: float
    max_aspect: float

    def __post_init__(self) -> None:
        if not 1 <= self.samples <= 25:
            raise ValueError(f"samples {self.samples} is not between 1 and 25")
        if not 0 <= self.upsample <= 2:
            raise ValueError(f"upsample {self.upsample} is not 0, 1 or 2")


@dataclass(frozen=True, kw_only=True)
class FacesScores:
    """What the sampled frames show. Box statistics are of the largest face of each frame; None where there is none."""

    counts: tuple[int, ...]
    no_face_share: float
    several_share: float
    face_px: float | None
    size_ratio: float | None
    inside: float | None
    aspect_low: float | None
    aspect_high: float | None

    def record(self) -> dict[str, Any]:
        histogram = {str(count): n for count, n in sorted(Counter(self.counts).items())}
        box = {"face_px": self.face_px, "size_ratio": self.size_ratio, "inside": self.inside}
        aspects = {"aspect_low": self.aspect_low, "aspect_high": self.aspect_high}
        rounded = {k: None if v is None else round(v, 4) for k, v in (box | aspects).items()}
        return {"faces_per_frame": histogram, "frames": len(self.counts)} | rounded


def measure(faces: Sequence[Sequence[Box]], width_px: int, height_px: int) -> FacesScores:
    """`faces`: those found in each sampled frame of a shot, in source pixels."""
    counts = tuple(len(found) for found in faces)
    share = 1 / max(1, len(counts))
    none, several = counts.count(0) * share, sum(n > 1 for n in counts) * share
    largest = [max(found, key=lambda box: box.width * box.height) for found in faces if found]
    if not largest:
        return FacesScores(
            counts=counts,
            no_face_share=none if counts else 1.0,
            several_share=several,
            face_px=None,
            size_ratio=None,
            inside=None,
            aspect_low=None,
            aspect_high=None,
        )
    areas = [box.width * box.height for box in largest]
    aspects = [box.width / box.height for box in largest]
    return FacesScores(
        counts=counts,
        no_face_share=none,
        several_share=several,
        face_px=float(np.median([box.width for box in largest])),
        size_ratio=max(areas) / min(areas),
        inside=float(np.median([box.inside(width_px, height_px) for box in largest])),
        aspect_low=min(aspects),
        aspect_high=max(aspects),
    )


def decide(scores: FacesScores, config: FacesConfig) -> tuple[Check, ...]:
    """One face, large enough, whole, and the same all along."""
    return (
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
    """Of the `available` frame indices the ones nearest to `samples` evenly spread places, each once, in order."""
    if not available:
        return []
    places = start_frame + (np.arange(samples) + 0.5) * (stop_frame - start_frame) / samples
    have = np.asarray(available)
    return sorted({int(have[np.argmin(np.abs(have - place))]) for place in places})
