"""Gates: per source, which stages decide, only measure or are skipped, and which videos are measured past a rejection.

A corpus that comes as face crops needs no second face detection; the clips of a labelled set must all be kept,
whatever their scores are.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Literal

from avf_shards.sampling.hash_draw import is_drawn
from avf_shards.schema.ledger import Check

from avf_curation.stages.undecided import make_undecided_check

Gate = Literal["decide", "measure"]
GateOrSkip = Literal["decide", "measure", "skip"]
Undecided = Literal["keep", "reject"]


@dataclass(frozen=True, kw_only=True)
class UndecidedConfig:
    """Verdict on a span that passes all checks of a stage that could be measured, but has one that could not."""

    faces: Undecided = "keep"  # no sampled frame shows a face, and the recipe lets that pass
    silence: Undecided = "keep"  # the package of the speech detector is not installed
    speaker: Undecided = "keep"  # the weights of the network are not there
    sync: Undecided = "keep"  # the span is too short, or the backend is not confident of the offset
    quality: Undecided = "keep"  # too little moves to tell a watermark, in the span and in its group


@dataclass(frozen=True, kw_only=True)
class GatesConfig:
    """Mode of each stage: `decide` rejects spans, `measure` only records scores, `skip` does not run the stage."""

    scenes: Gate  # never skipped: later stages work on its shots
    faces: GateOrSkip  # skip: no face is detected before the track stage, for corpora that come as face crops
    # skip: the shot is not split. The stage decides where spans end, so it cannot merely measure.
    silence: Literal["decide", "skip"]
    track: Gate  # never skipped: it makes the crop window. A span without any face is rejected in both modes
    speaker: GateOrSkip  # skip: whether the face speaks is not asked
    sync: GateOrSkip  # measure, skip: the sound is stored as it is, without repair of its offset
    quality: GateOrSkip  # skip: the pooled watermark search is skipped too
    # Share of the videos whose rejected spans are measured by the remaining stages too, for what-if and calibrate.
    # Their verdicts do not change.
    score_all: float
    score_seed: int  # of the draw of these videos
    undecided: UndecidedConfig = field(default_factory=UndecidedConfig)  # what a score that cannot be measured means

    def __post_init__(self) -> None:
        if not 0 <= self.score_all <= 1:
            raise ValueError(f"score_all {self.score_all} is not a share between 0 and 1")

    @property
    def non_deciding(self) -> dict[str, str]:
        """The stages that do not decide, with their modes."""
        return {stage: gate for stage, gate in asdict(self).items() if gate in ("measure", "skip")}

    def undecided_checks(self, stage: str, checks: Iterable[Check]) -> tuple[Check, ...]:
        """Return the check that rejects a span of which one of `checks` is undecided, or none where such spans stay."""
        if getattr(self.undecided, stage) == "keep":
            return ()
        return (make_undecided_check(stage, checks),)

    def scores_past_rejection(self, source: str, video: str) -> bool:
        """Return whether this video is in the seeded sample that is measured past rejections."""
        return is_drawn(f"{source}\0{video}", self.score_seed, self.score_all)
