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
    min_owners_score: float  # of the face that the owners' detector saw, where they publish its score
    max_owners_second_score: float  # of a second face that it saw; without one the score is 0

    def __post_init__(self) -> None:
        refuse((self.min_side_px < 1, f"min_side_px {self.min_side_px} must be at least 1"))


@dataclass(frozen=True, kw_only=True)
class PictureScores:
    """Measurements of the picture stage."""

    width_px: int  # of the owners' picture, upright
    height_px: int  # of the owners' picture, upright
    owners_score: float | None = None  # of the face that the owners' detector saw, 0 without one; None: not published
    owners_second_score: float | None = None  # the same of a second face

    def record(self) -> dict[str, Any]:
        """Return the measurements as the ledger stores them."""
        values = {name: value for name, value in vars(self).items() if value is not None}
        return {name: round(value, 4) for name, value in values.items()}


def decide(scores: PictureScores, config: PictureConfig) -> tuple[Check, ...]:
    """Check that the picture is large enough, and that the owners' detector saw one face, where they say."""
    checks = [
        Check(
            stage=STAGE,
            reason="too_small",
            score=min(scores.width_px, scores.height_px),
            operator=">=",
            threshold=config.min_side_px,
            setting="picture.min_side_px",
        )
    ]
    if scores.owners_score is not None:
        checks.append(
            Check(
                stage=STAGE,
                reason="owners_no_face",
                score=scores.owners_score,
                operator=">=",
                threshold=config.min_owners_score,
                setting="picture.min_owners_score",
            )
        )
    if scores.owners_second_score is not None:
        checks.append(
            Check(
                stage=STAGE,
                reason="owners_second_face",
                score=scores.owners_second_score,
                operator="<=",
                threshold=config.max_owners_second_score,
                setting="picture.max_owners_second_score",
            )
        )
    return tuple(checks)
