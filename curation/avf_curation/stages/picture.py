"""The first stage of a face picture, and what is stored of it. The stages of faces and quality judge pictures too."""

from dataclasses import dataclass
from typing import Any, Literal

from avf_shards.schema.ledger import Check
from avf_shards.settings.config import refuse

STAGE = "picture"


@dataclass(frozen=True, kw_only=True)
class PictureConfig:
    """Settings that pictures have beside those of the stages they share with videos: recipes/pictures.yaml."""

    store: Literal["face", "whole"]  # a square around the face of clip.size_px a side; or the owners' file as it is
    min_side_px: int  # of the shorter side of the owners' picture

    def __post_init__(self) -> None:
        refuse((self.min_side_px < 1, f"min_side_px {self.min_side_px} must be at least 1"))


@dataclass(frozen=True, kw_only=True)
class PictureScores:
    """Measurements of the picture stage."""

    width_px: int  # of the owners' picture, upright
    height_px: int  # of the owners' picture, upright

    def record(self) -> dict[str, Any]:
        """Return the measurements as the ledger stores them."""
        return {"width_px": self.width_px, "height_px": self.height_px}


def decide(scores: PictureScores, config: PictureConfig) -> tuple[Check, ...]:
    """Check that the picture is large enough."""
    return (
        Check(
            stage=STAGE,
            reason="too_small",
            score=min(scores.width_px, scores.height_px),
            operator=">=",
            threshold=config.min_side_px,
            setting="picture.min_side_px",
        ),
    )
