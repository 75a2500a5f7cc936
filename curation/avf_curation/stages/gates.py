"""Gates: per source, which stages decide, only measure or are skipped, and which videos are measured past a rejection.

A corpus that comes as face crops needs no second face detection; the clips of a labelled set must all be kept,
whatever their scores are.
"""

from dataclasses import asdict, dataclass
from typing import Literal

from avf_shards.hash_draw import is_drawn

Gate = Literal["decide", "measure"]
GateOrSkip = Literal["decide", "measure", "skip"]


@dataclass(frozen=True, kw_only=True)
class GatesConfig:
    """Mode of each stage: `decide` rejects spans, `measure` only records scores, `skip` does not run the stage."""

    scenes: Gate  # shots: long enough and complete
    faces: GateOrSkip  # sampled frames: one undistorted face
    silence: Literal["decide", "skip"]  # shots are cut at silence, or kept as they are
    track: Gate  # the face followed through the span
    sync: GateOrSkip  # lips and sound
    quality: GateOrSkip  # blur, freezes, bars, overlays
    # Share of the videos whose rejected spans are measured by the remaining stages too, for what-if and calibrate.
    # Their verdicts do not change.
    score_all: float
    score_seed: int  # of the draw of these videos

    def __post_init__(self) -> None:
        if not 0 <= self.score_all <= 1:
            raise ValueError(f"score_all {self.score_all} is not a share between 0 and 1")

    @property
    def non_deciding(self) -> dict[str, str]:
        """The stages that do not decide, with their modes."""
        return {stage: gate for stage, gate in asdict(self).items() if gate in ("measure", "skip")}

    def scores_past_rejection(self, source: str, video: str) -> bool:
        """Return whether this video is in the seeded sample that is measured past rejections."""
        return is_drawn(f"{source}\0{video}", self.score_seed, self.score_all)
