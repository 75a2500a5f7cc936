"""Stage 5, sync: does the sound belong to the lips? Offset, confidence, distance (AVF-MAE++ 4.1, step 5).

Offsets are in frames by which the sound must be moved later to fit. Small confident ones can be repaired by moving the
sound before it is stored.
"""

from dataclasses import dataclass
from typing import Any, Literal

from avf_shards.schema.ledger import Check

STAGE = "sync"
SyncBackend = Literal["auto", "syncnet", "envelope"]


@dataclass(frozen=True, kw_only=True)
class SyncConfig:
    """backend: auto takes syncnet where its weights are, else envelope.

    min_confidence, max_offset_frames, every, authors_code, crop_*: SyncNet's; they hold for its own face crop.
    envelope_*: the embedded backend's; below its least confidence it cannot tell, which is not a rejection.
    A mouth that does not move by envelope_min_motion does not speak.
    repair: move the sound by a confident offset within the limit before it is stored.
    """

    backend: SyncBackend
    shifts: int
    every: int
    authors_code: bool
    min_seconds: float
    min_confidence: float
    max_offset_frames: int
    crop_scale: float
    crop_padding: int
    crop_median: int
    envelope_min_confidence: float
    envelope_max_offset_frames: int
    envelope_min_seconds: float
    envelope_min_motion: float
    repair: bool

    def __post_init__(self) -> None:
        if self.every < 1 or self.shifts < 1:
            raise ValueError("every and shifts must be at least 1")
        if self.crop_median % 2 == 0:
            raise ValueError(f"crop_median {self.crop_median} is not odd")
        if max(self.max_offset_frames, self.envelope_max_offset_frames) >= self.shifts:
            raise ValueError(
                f"offsets are searched within {self.shifts} frames; the largest allowed must be below that"
            )


@dataclass(frozen=True, kw_only=True)
class SyncScores:
    """What a backend found; None where it could not tell. `length_s` is stored because confidence depends on it."""

    backend: str
    offset_frames: int | None
    confidence: float | None
    distance: float | None
    length_s: float
    mouth_motion: float | None = None

    def record(self) -> dict[str, Any]:
        rounded = {name: getattr(self, name) for name in ("confidence", "distance", "length_s", "mouth_motion")}
        return {"backend": self.backend, "offset_frames": self.offset_frames} | {
            name: None if value is None else round(value, 4) for name, value in rounded.items()
        }


def decide(scores: SyncScores, config: SyncConfig) -> tuple[Check, ...]:
    """SyncNet must be confident; either backend's offset, where it can tell one, must be small."""
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
    offset = float(abs(scores.offset_frames)) if scores.offset_frames is not None and _tells(scores, config) else None
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
            threshold=config.envelope_max_offset_frames,
            setting="sync.envelope_max_offset_frames",
        ),
    )


def repair_frames(scores: SyncScores, config: SyncConfig) -> int:
    """By how many frames the sound of a kept span is moved later before it is stored."""
    if not config.repair or scores.offset_frames is None:
        return 0
    if scores.backend == "envelope" and not _tells(scores, config):
        return 0
    return scores.offset_frames


def _tells(scores: SyncScores, config: SyncConfig) -> bool:
    return scores.confidence is not None and round(scores.confidence, 4) >= config.envelope_min_confidence
