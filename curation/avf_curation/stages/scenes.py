"""Stage 1, scenes: shots without a cut inside; too short and incomplete ones are rejected (AVF-MAE++ 4.1, step 1)."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from avf_shards.schema.ledger import Check
from avf_shards.timeline import FRAMES_PER_SECOND, Span

from avf_curation.media.types import AudioTrack, VideoTrack, overlap_frames

STAGE = "scenes"
DetectorName = Literal["adaptive", "content", "histogram", "hash", "threshold"]


@dataclass(frozen=True, kw_only=True)
class ScenesConfig:
    """detectors: PySceneDetect detectors whose cuts are united; *_threshold: theirs.

    width_px: frames are shrunk to this width before detection. min_shot_s: shorter shots are rejected.
    max_missing_s: a shot may lack picture or sound for this long. max_shot_s: longer shots are cut into equal parts.
    """

    detectors: tuple[DetectorName, ...]
    adaptive_threshold: float
    adaptive_min_content: float
    content_threshold: float
    histogram_threshold: float
    hash_threshold: float
    fade_threshold: float
    min_cut_distance_s: float
    width_px: int
    min_shot_s: float
    max_missing_s: float
    max_shot_s: float | None = None

    def __post_init__(self) -> None:
        if self.width_px < 32:
            raise ValueError(f"width_px {self.width_px} is less than 32")
        if self.min_shot_s < 0 or self.max_missing_s < 0:
            raise ValueError("min_shot_s and max_missing_s cannot be negative")
        if self.max_shot_s is not None and self.max_shot_s < max(1.0, 2 * self.min_shot_s):
            raise ValueError(f"max_shot_s {self.max_shot_s} must be at least 1 and twice min_shot_s {self.min_shot_s}")
        if self.max_missing_s >= self.min_shot_s:
            raise ValueError(
                f"max_missing_s {self.max_missing_s} must be below min_shot_s {self.min_shot_s}: "
                "a shot without any sound or picture would pass"
            )


@dataclass(frozen=True, kw_only=True)
class ScenesScores:
    """Length of a shot and how much of it lacks decodable picture or sound, all in seconds."""

    length_s: float
    cut_off_s: float
    no_picture_s: float
    no_sound_s: float

    def record(self) -> dict[str, Any]:
        return {name: round(value, 4) for name, value in asdict(self).items()}


def split_shot(shot: Span, config: ScenesConfig) -> list[Span]:
    """The shot, or equal parts of it that are no longer than max_shot_s."""
    if config.max_shot_s is None:
        return [shot]
    count = -(-shot.frames // int(config.max_shot_s * FRAMES_PER_SECOND))
    ends = [shot.start_frame + shot.frames * n // count for n in range(count + 1)]
    return [Span(start, stop) for start, stop in zip(ends, ends[1:], strict=False)]


def measure(shot: Span, picture: VideoTrack, sound: AudioTrack | None) -> ScenesScores:
    """What `shot` has and lacks. A shot that ends where decoding ends lacks what the input declares beyond."""
    gaps = overlap_frames(picture.gaps, shot)
    broken = sum(shot.start_frame <= at <= shot.stop_frame for at in picture.errors)
    if shot.stop_frame == picture.decoded_frames:
        broken += picture.frames - picture.decoded_frames
    silent = sound.missing_frames(shot) if sound else float(shot.frames)
    per_s = FRAMES_PER_SECOND
    return ScenesScores(
        length_s=shot.frames / per_s, cut_off_s=broken / per_s, no_picture_s=gaps / per_s, no_sound_s=silent / per_s
    )


def decide(scores: ScenesScores, config: ScenesConfig) -> tuple[Check, ...]:
    """Long enough, and complete."""
    return (
        Check(
            stage=STAGE,
            reason="too_short",
            score=scores.length_s,
            operator=">=",
            threshold=config.min_shot_s,
            setting="scenes.min_shot_s",
        ),
        Check(
            stage=STAGE,
            reason="cut_off",
            score=scores.cut_off_s,
            operator="<=",
            threshold=config.max_missing_s,
            setting="scenes.max_missing_s",
        ),
        Check(
            stage=STAGE,
            reason="no_picture",
            score=scores.no_picture_s,
            operator="<=",
            threshold=config.max_missing_s,
            setting="scenes.max_missing_s",
        ),
        Check(
            stage=STAGE,
            reason="no_sound",
            score=scores.no_sound_s,
            operator="<=",
            threshold=config.max_missing_s,
            setting="scenes.max_missing_s",
        ),
    )
