"""Which stages decide, which only measure and which are left out, per source; and who is measured past a rejection.

A corpus that comes as face crops has no use for a second look for faces; the clips of a labelled set must all be kept,
whatever their scores.
"""

from dataclasses import asdict, dataclass
from typing import Literal

from avf_shards.hash_draw import is_drawn

Gate = Literal["decide", "measure"]
GateOrSkip = Literal["decide", "measure", "skip"]


@dataclass(frozen=True, kw_only=True)
class GatesConfig:
    """decide: rejects; measure: only records; skip: is not run. score_all: share of the videos that are measured on
    past a rejection, drawn by score_seed; their verdicts stay what they were.
    """

    scenes: Gate
    faces: GateOrSkip
    silence: Literal["decide", "skip"]
    track: Gate
    sync: GateOrSkip
    quality: GateOrSkip
    score_all: float
    score_seed: int

    def __post_init__(self) -> None:
        if not 0 <= self.score_all <= 1:
            raise ValueError(f"score_all {self.score_all} is no share between 0 and 1")

    @property
    def non_deciding(self) -> dict[str, str]:
        """The stages that do not decide."""
        return {stage: gate for stage, gate in asdict(self).items() if gate in ("measure", "skip")}

    def scores_past_rejection(self, source: str, video: str) -> bool:
        """Whether this video is in the seeded sample that is measured past rejections."""
        return is_drawn(f"{source}\0{video}", self.score_seed, self.score_all)
