"""The stage `glasses`: rejects faces that wear glasses, by the bar of a frame over the bridge of the nose.

Between the eyes a bare face is smooth. The frame of a pair of glasses has a bridge there: a line along the picture,
with an edge above and one below. The score is how strong such edges are at the bridge, over how strong they are on
average in the face, in the median frame. No weights, and no landmarks: the bridge is sought where it is in an
average face box.

How good it is: of 19 faces in short public videos, tracked by dlib, one with thick rims had 5.2. One with thin metal
rims had 2.5, as had some of the 17 without glasses (0.5 to 2.9). So it tells thick rims, as far as one example goes, and
misses thin ones; a head that is turned or tilted, and a fringe down to the eyes, deceive it. Let it only measure until
you have judged it on your own videos (avf-curate gates).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from avf_curation.stages.definition import FaceSpan, Stage
from avf_curation.stages.reasons import Reason
from avf_shards.schema.ledger import Check

NAME = "glasses"
# The bridge in an average face box, of dlib or RetinaFace: shares of its width and height.
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.42, 0.58, 0.15, 0.50
_MIN_FACE_PX = 64  # in the source: of a smaller face the picture of the clip was enlarged, and its edges are noise
_MIN_ROWS = 6  # of the bridge in the clip: fewer show no edge


@dataclass(frozen=True, kw_only=True)
class GlassesConfig:
    """Settings of the stage. Each needs a default."""

    max_bridge: float = 3.0  # a stronger edge at the bridge is a frame; see above how good that is
    every: int = 5  # each every-th frame is looked at

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every {self.every} must be at least 1")


@dataclass(frozen=True, kw_only=True)
class GlassesScores:
    """What the stage measured on a span."""

    bridge: float | None  # None: the face is too small to tell
    frames: int  # that were looked at

    def record(self) -> dict[str, Any]:
        """Return the measurements as the ledger stores them."""
        return {"bridge": None if self.bridge is None else round(self.bridge, 4), "frames": self.frames}


def measure(face: FaceSpan, config: GlassesConfig) -> GlassesScores:
    """Measure the median strength of an edge at the bridge of the nose."""
    numbers = range(0, len(face.face_THWC), config.every)
    face_px = np.median(face.boxes_T4[:, 2] - face.boxes_T4[:, 0]) / face.scale
    if face_px < _MIN_FACE_PX:
        return GlassesScores(bridge=None, frames=0)
    scores = [measure_bridge(face.face_THWC[t].mean(2), face.boxes_T4[t]) for t in numbers]
    known = [score for score in scores if score is not None]
    return GlassesScores(bridge=float(np.median(known)) if known else None, frames=len(scores))


def measure_bridge(grey_HW: np.ndarray, box_4: np.ndarray) -> float | None:
    """Return the strongest edge along the rows of the bridge, over the mean of such edges in the face."""
    left, top, right, bottom = box_4
    width, height = right - left, bottom - top
    columns = slice(max(0, round(left + _LEFT * width)), max(0, round(left + _RIGHT * width)))
    rows = slice(max(0, round(top + _TOP * height)), max(0, round(top + _BOTTOM * height)))
    face_HW = grey_HW[max(0, round(top)) : max(0, round(bottom)), max(0, round(left)) : max(0, round(right))]
    bridge_HW = grey_HW[rows, columns]
    if bridge_HW.shape[0] < _MIN_ROWS or bridge_HW.shape[1] < 2:
        return None
    # A frame's bridge goes over all columns, so its edge stays when they are averaged; skin and noise do not.
    edges_H = np.abs(np.diff(bridge_HW.mean(1)))
    usual = np.abs(np.diff(face_HW.astype(float), axis=0)).mean()
    return float(edges_H.max() / max(usual, 0.5))


def decide(scores: GlassesScores, config: GlassesConfig) -> tuple[Check, ...]:
    """Check that nothing lies over the bridge of the nose."""
    return (
        Check(
            stage=NAME,
            reason="frame",
            score=scores.bridge,
            operator="<=",
            threshold=config.max_bridge,
            setting=f"{NAME}.max_bridge",
        ),
    )


STAGE = Stage(
    name=NAME,
    about="Thick rims of glasses, by an edge over the bridge of the nose. Thin rims pass; let it only measure at first.",
    config=GlassesConfig,
    measure=measure,
    decide=decide,
    reasons={
        "frame": Reason(
            sentence="An edge lies over the bridge of the nose, as the frame of a pair of glasses does.",
            score="strongest edge along the rows of the bridge over the mean edge of the face",
        )
    },
    thresholds=("max_bridge",),
)
