"""Stage 5, speaker: does the face that is seen speak, and which one of several?

A network scores each frame by the face and the sound together, above zero where the face speaks. The share of such
frames tells a talker, whose pauses count against the share, from a face under a voice-over or music, one that chews and
one that listens. Whether the voice is that of the face is not asked here: dubbing is a matter of the sync stage.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from avf_shards.schema.curve import MOUTH_STEP, SOUND_STEP, SPEAKING_STEP, write_curve
from avf_shards.schema.ledger import Check
from avf_shards.settings.config import refuse

from avf_curation.media.types import Bytes, Samples
from avf_curation.stages.silence import frame_levels_dbfs

STAGE = "speaker"
SpeakerBackend = Literal["auto", "lr-asd", "none"]
Scores = npt.NDArray[np.float32]
_MOUTH_ROWS, _MOUTH_COLUMNS = slice(40, 96), slice(16, 96)  # where the mouth is in a picture of 112 x 112 px


@dataclass(frozen=True, kw_only=True)
class SpeakerConfig:
    """Settings of the speaker stage. Where the thresholds come from: recipes/default.yaml."""

    # auto: lr-asd where its weights are; none: whether the face speaks is not asked
    backend: SpeakerBackend
    min_share: float  # of a span's frames in which the face speaks; a span with less is rejected
    # people: speaker. Share of the frames in which another face speaks and is the surer speaker; more is rejected
    max_other_share: float

    def __post_init__(self) -> None:
        refuse(
            *(
                (not 0 <= getattr(self, name) <= 1, f"{name} {getattr(self, name)} is not a share between 0 and 1")
                for name in ("min_share", "max_other_share")
            )
        )


@dataclass(frozen=True, kw_only=True)
class SpeakerScores:
    """Result of the speaker stage; None where nothing measured it."""

    backend: str  # "lr-asd" or "none"
    speaking_share: float | None = None  # of the frames in which the face speaks
    mean_score: float | None = None  # over the frames
    other_share: float | None = None  # of the frames in which another face is the speaker; None: one clip of each
    face: int | None = None  # number of the face that speaks most, 0 = the largest
    faces: int = 0  # that were scored
    speaking_T: Scores | None = None  # score of each frame, above zero where the face speaks
    mouth_T: Scores | None = None  # grey levels by which the picture of the mouth differs from the frame before
    sound_T: npt.NDArray[np.float64] | None = None  # dBFS

    def record(self) -> dict[str, Any]:
        """Return the measurements as the ledger stores them."""
        rounded = {name: getattr(self, name) for name in ("speaking_share", "mean_score", "other_share")}
        curves = (
            ("speaking_curve", self.speaking_T, SPEAKING_STEP),
            ("mouth_curve", self.mouth_T, MOUTH_STEP),
            ("sound_curve", self.sound_T, SOUND_STEP),
        )
        return (
            {"backend": self.backend, "face": self.face, "faces": self.faces}
            | {name: None if value is None else round(value, 4) for name, value in rounded.items()}
            | {name: None if values is None else write_curve(values, step) for name, values, step in curves}
        )


def choose_speaker(scores_FT: Sequence[Scores]) -> int:
    """Return the number of the face that speaks in most frames; of several, the surest, then the first."""
    shares = [(float((scores_T > 0).mean()), float(scores_T.mean())) for scores_T in scores_FT]
    return max(range(len(shares)), key=lambda number: (*shares[number], -number))


def measure(scores_FT: Sequence[Scores], grey_THW: Bytes, samples: Samples, *, others_count: bool) -> SpeakerScores:
    """Return the measurements of the face that speaks most.

    Args:
        scores_FT: Scores of each face, the largest face first.
        grey_THW: That face in each frame, (T, 112, 112).
        samples: The sound of the same frames.
        others_count: Whether it matters that another face speaks, because only one gets a clip.
    """
    face = choose_speaker(scores_FT)
    speaking_T = scores_FT[face]
    others = [scores_T for number, scores_T in enumerate(scores_FT) if number != face]
    other_share = None
    if others_count:
        best_T = np.max(others, axis=0) if others else np.full_like(speaking_T, -np.inf)
        other_share = float(((best_T > 0) & (best_T > speaking_T)).mean())
    return SpeakerScores(
        backend="lr-asd",
        speaking_share=float((speaking_T > 0).mean()),
        mean_score=float(speaking_T.mean()),
        other_share=other_share,
        face=face,
        faces=len(scores_FT),
        speaking_T=speaking_T,
        mouth_T=mouth_changes(grey_THW),
        sound_T=frame_levels_dbfs(samples),
    )


def mouth_changes(grey_THW: Bytes) -> Scores:
    """Return by how many grey levels the picture of the mouth differs from the frame before, (T,), 0 for the first."""
    mouth_THW = grey_THW[:, _MOUTH_ROWS, _MOUTH_COLUMNS].astype(np.float32)
    changes_T: Scores = np.zeros(len(mouth_THW), np.float32)
    changes_T[1:] = np.abs(np.diff(mouth_THW, axis=0)).mean(axis=(1, 2))
    return changes_T


def decide(scores: SpeakerScores, config: SpeakerConfig) -> tuple[Check, ...]:
    """Check that the face speaks and, where only one gets a clip, that no other one does.

    There is no check where the recipe asks for none, and no second one where each face gets a clip.
    """
    if config.backend == "none":
        return ()
    speaks = Check(
        stage=STAGE,
        reason="not_speaking",
        score=scores.speaking_share,
        operator=">=",
        threshold=config.min_share,
        setting="speaker.min_share",
    )
    if scores.other_share is None:
        return (speaks,)
    return (
        speaks,
        Check(
            stage=STAGE,
            reason="another_speaks",
            score=scores.other_share,
            operator="<=",
            threshold=config.max_other_share,
            setting="speaker.max_other_share",
        ),
    )
