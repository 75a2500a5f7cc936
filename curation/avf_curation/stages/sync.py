"""Stage 6, sync: does the sound belong to the lips? Offset, confidence, distance (AVF-MAE++ 4.1, step 5).

An offset is the number of frames by which the sound must be moved later to fit the lips. A small offset that the
backend is confident of can be repaired by moving the sound before it is stored.
"""

from dataclasses import dataclass
from typing import Any, Literal

from avf_shards.schema.ledger import Check
from avf_shards.settings.config import refuse
from avf_shards.timeline import FRAMES_PER_SECOND

STAGE = "sync"
SyncBackend = Literal["auto", "syncnet", "learned", "envelope"]
PEAK_HALF_WIDTH = 3  # frames: shifts this close to the peak belong to it
SEARCHES_IN_CLIP = 3  # a clip is at least this many times `shifts` long, for the overlap at the outermost shift


@dataclass(frozen=True, kw_only=True)
class SyncConfig:
    """Settings of the sync stage. Where the thresholds come from: recipes/default.yaml."""

    backend: SyncBackend  # auto: syncnet where its weights are, else learned where FaceMesh is, else envelope
    shifts: int  # offsets are searched from -shifts to +shifts frames
    every: int  # SyncNet scores each every-th lip window
    authors_code: bool  # let SyncNet's zero padding into the means, as the authors' code does
    min_seconds: float  # shorter clips get no SyncNet score
    min_confidence: float  # SyncNet's scale; holds for its own face crop only
    max_offset_frames: int  # largest offset by SyncNet, in either direction
    crop_scale: float  # SyncNet's crop: margin around the face, of half the face's side
    crop_padding: int  # SyncNet's crop: grey level outside the frame
    crop_median: int  # SyncNet's crop: frames of the median filter on centre and size, odd
    envelope_min_confidence: float  # below this the envelope backend cannot tell, which is not a rejection
    envelope_max_offset_frames: int  # largest confident offset by the envelope backend, in either direction
    envelope_min_seconds: float  # shorter clips get no envelope score
    envelope_min_motion: float  # a mouth that moves less does not speak; over the contrast of the mouth's image
    learned_min_confidence: float  # below this the learned backend cannot tell; 1: as its calibration found
    learned_max_offset_frames: int  # largest confident offset by the learned backend, in either direction
    repair: bool  # move the sound by a confident offset within the limit before it is stored

    def __post_init__(self) -> None:
        refuse(
            (self.every < 1, f"every {self.every} must be at least 1"),
            (
                self.shifts <= PEAK_HALF_WIDTH,
                f"shifts {self.shifts} must be at least {PEAK_HALF_WIDTH + 1}, because a peak is compared with shifts "
                f"more than {PEAK_HALF_WIDTH} frames away",
            ),
            (self.crop_median % 2 == 0, f"crop_median {self.crop_median} is not odd"),
            *(
                (getattr(self, name) >= self.shifts, f"{name} {getattr(self, name)} must be below shifts {self.shifts}")
                for name in ("max_offset_frames", "envelope_max_offset_frames", "learned_max_offset_frames")
            ),
        )

    @property
    def searched_s(self) -> float:
        """Length in seconds below which the envelope and the learned backend cannot search all shifts of a clip."""
        return SEARCHES_IN_CLIP * self.shifts / FRAMES_PER_SECOND


@dataclass(frozen=True, kw_only=True)
class SyncScores:
    """Result of a sync backend; None where the backend could not tell."""

    backend: str  # "syncnet", "learned" or "envelope"
    offset_frames: int | None  # frames by which the sound must be moved later
    confidence: float | None  # each backend has its own scale; 0 by the envelope or the learned one: cannot tell
    distance: float | None  # SyncNet: least mean distance of the embeddings
    length_s: float  # of the clip; stored because confidence depends on it
    mouth_motion: float | None = None  # envelope, learned: how much the mouth opens, over the contrast of its image

    def record(self) -> dict[str, Any]:
        """Return the measurements as the ledger stores them."""
        rounded = {name: getattr(self, name) for name in ("confidence", "distance", "length_s", "mouth_motion")}
        return {"backend": self.backend, "offset_frames": self.offset_frames} | {
            name: None if value is None else round(value, 4) for name, value in rounded.items()
        }


def decide(scores: SyncScores, config: SyncConfig) -> tuple[Check, ...]:
    """Check that lips and sound belong together: SyncNet is confident or the mouth moves, and the offset is small."""
    if scores.backend == "syncnet":
        offset = None if scores.offset_frames is None else float(abs(scores.offset_frames))
        return (
            Check(
                stage=STAGE,
                reason="low_confidence",
                score=scores.confidence,
                operator=">=",
                threshold=config.min_confidence,
                setting="sync.min_confidence",
            ),
            Check(
                stage=STAGE,
                reason="offset",
                score=offset,
                operator="<=",
                threshold=config.max_offset_frames,
                setting="sync.max_offset_frames",
            ),
        )
    # A score of None passes: an offset without confidence is no evidence against the clip.
    prefix = scores.backend
    offset = (
        float(abs(scores.offset_frames)) if scores.offset_frames is not None and _is_confident(scores, config) else None
    )
    return (
        Check(
            stage=STAGE,
            reason="mouth_still",
            score=scores.mouth_motion,
            operator=">=",
            threshold=config.envelope_min_motion,
            setting="sync.envelope_min_motion",
        ),
        Check(
            stage=STAGE,
            reason="offset",
            score=offset,
            operator="<=",
            threshold=getattr(config, f"{prefix}_max_offset_frames"),
            setting=f"sync.{prefix}_max_offset_frames",
        ),
    )


def is_at_rim(offset_frames: int, shifts: int) -> bool:
    """Return whether an offset lies at the rim of a search over -shifts to +shifts, where no backend tells it.

    A peak there is mostly the flank of one outside the search, or chance: 3 of 3 such were wrong.
    """
    return abs(offset_frames) >= shifts - 1


def repair_frames(scores: SyncScores, config: SyncConfig) -> int:
    """Return by how many frames the sound of a kept span is moved later before it is stored."""
    if not config.repair or scores.offset_frames is None:
        return 0
    if scores.backend != "syncnet" and not _is_confident(scores, config):
        return 0
    return scores.offset_frames


def _is_confident(scores: SyncScores, config: SyncConfig) -> bool:
    # Rounded as in the ledger, so that a verdict can be recomputed from the ledger alone.
    confidence = None if scores.confidence is None else round(scores.confidence, 4)
    return tells_offset(confidence, getattr(config, f"{scores.backend}_min_confidence"))


def tells_offset(confidence: float | None, least: float) -> bool:
    """Return whether an offset by the envelope or the learned backend counts.

    A confidence of 0 says that the backend cannot tell, however low the least one is set.
    """
    return confidence is not None and confidence > 0 and confidence >= least
