"""Stage 1, scenes: shots without a cut inside; short and incomplete shots are rejected (AVF-MAE++ 4.1, step 1)."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from avf_shards.schema.ledger import Check
from avf_shards.settings.config import refuse
from avf_shards.timeline import FRAMES_PER_SECOND, Span

from avf_curation.media.types import AudioTrack, VideoTrack, overlap_frames

STAGE = "scenes"
MIN_WIDTH_PX = 32  # the smallest width_px that a recipe may set
DetectorName = Literal["adaptive", "content", "histogram", "hash", "threshold", "dissolve", "transnetv2"]


@dataclass(frozen=True, kw_only=True)
class ScenesConfig:
    """Settings of the scenes stage. Where the thresholds come from: recipes/default.yaml."""

    detectors: tuple[
        DetectorName, ...
    ]  # PySceneDetect's, `dissolve`, `transnetv2`; the stage takes the union of their cuts
    adaptive_threshold: float  # content change over its mean in the neighbouring frames
    adaptive_min_content: float  # content change below which the adaptive detector reports no cut
    content_threshold: float  # mean HSV difference of neighbouring frames
    histogram_threshold: float  # difference of the luma histograms, 0 to 1
    hash_threshold: float  # share of differing bits of the perceptual hashes
    fade_threshold: float  # mean grey level below which a frame counts as black (detector `threshold`)
    min_cut_distance_s: float  # seconds between two cuts of one detector
    width_px: int  # frames are shrunk to this width before detection
    min_shot_s: float  # shorter shots are rejected
    max_missing_s: float  # a shot may lack video or sound for this long
    max_dissolve: float = 0.93  # share of a change of the picture that one mixture explains: more is a dissolve
    transnetv2_threshold: float = 0.5  # probability that a frame belongs to a change of shots (detector `transnetv2`)
    max_shot_s: float | None = None  # longer shots are cut into equal parts; None: they are not cut

    def __post_init__(self) -> None:
        shot_s, missing_s = self.min_shot_s, self.max_missing_s
        refuse(
            (self.width_px < MIN_WIDTH_PX, f"width_px {self.width_px} is less than {MIN_WIDTH_PX}"),
            (shot_s < 0, f"min_shot_s {shot_s} cannot be negative"),
            (missing_s < 0, f"max_missing_s {missing_s} cannot be negative"),
            (
                not 0 < self.transnetv2_threshold < 1,
                f"transnetv2_threshold {self.transnetv2_threshold} must be above 0 and below 1",
            ),
            (
                {"dissolve", "transnetv2"} <= {*self.detectors},
                "detectors names dissolve and transnetv2, which both find dissolves; name one of them",
            ),
            (
                self.max_shot_s is not None and self.max_shot_s < max(1.0, 2 * shot_s),
                f"max_shot_s {self.max_shot_s} must be at least 1 and twice min_shot_s {shot_s}",
            ),
            (
                0 <= shot_s <= missing_s,
                f"max_missing_s {missing_s} must be below min_shot_s {shot_s}: "
                "a shot without any sound or picture would pass",
            ),
        )


@dataclass(frozen=True, kw_only=True)
class ScenesScores:
    """Length of a shot, and how much decodable video or sound the shot lacks."""

    length_s: float  # of the shot
    cut_off_s: float  # frames that failed to decode
    no_picture_s: float  # holes between the timestamps of the video
    no_sound_s: float  # time of the shot that no decoded sound covers
    audio_tracks: int = 0  # sound tracks of the input
    audio_track: int | None = None  # position of the one that was read, from 0; None where there is none
    one_channel_s: float = 0.0  # of the input: seconds whose two channels cancel, so that one stands for both
    dissolve: float = 0.0  # share of the change of the picture that a mixture explains; 0: the shot is no dissolve
    transition: float = 0.0  # TransNetV2's probability that the shot is a change of shots; 0: it is none
    oddities: tuple[str, ...] = ()  # sentences: what is unusual about the picture, and how it was converted

    def record(self) -> dict[str, Any]:
        """Return the measurements as the ledger stores them."""
        values = asdict(self) | {"oddities": list(self.oddities)}
        if not self.oddities:
            del values["oddities"]
        for name in ("dissolve", "transition"):  # a clip's shot never is one
            if not values[name]:
                del values[name]
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in values.items()}


def measure(shot: Span, video_track: VideoTrack, audio_track: AudioTrack | None) -> ScenesScores:
    """Return the length of a shot and the seconds of video and sound that it lacks."""
    gaps = overlap_frames(video_track.gaps, shot)
    broken = overlap_frames(video_track.damaged, shot)
    silent = audio_track.missing_frames(shot) if audio_track else float(shot.frames)
    per_s = FRAMES_PER_SECOND
    stream = audio_track.stream if audio_track else None
    return ScenesScores(
        length_s=shot.frames / per_s,
        cut_off_s=broken / per_s,
        no_picture_s=gaps / per_s,
        no_sound_s=silent / per_s,
        audio_tracks=stream.count if stream else 0,
        audio_track=stream.index if stream else None,
        one_channel_s=audio_track.one_channel_s if audio_track else 0.0,
        oddities=_picture_oddities(shot, video_track),
    )


def _picture_oddities(shot: Span, video_track: VideoTrack) -> tuple[str, ...]:
    """Return sentences on what is unusual about the clock and the picture of a shot."""
    oddities = []
    if video_track.recordings > 1:
        count = video_track.recordings
        oddities.append(f"The file is joined from {count} recordings: its clock starts again, and was continued.")
    if video_track.unread_bytes:
        oddities.append(
            f"The last {video_track.unread_bytes:,} bytes of the file were not read: another recording may have been "
            "appended, which players do not see either. Split the file to use it."
        )
    if video_track.repaired_times:
        count = video_track.repaired_times
        oddities.append(f"{count} timestamps of the file contradict those around them and were replaced.")
    if not video_track.pictures:
        return tuple(oddities)
    run = video_track.picture_at(shot.start_frame)
    if run.pixel_aspect != 1:
        size = f"{run.width_px} x {run.height_px}"
        oddities.append(f"A stored pixel is {run.pixel_aspect:.3f} times as wide as high; the picture is {size}.")
    if run.colors:
        oddities.append(f"The colours are {run.colors}, converted to BT.709.")
    interlaced = video_track.deinterlaced[shot.start_frame : shot.stop_frame]
    if interlaced.any():
        share = max(0.01, float(interlaced.mean()))
        telecined = "; the film is telecined" if video_track.telecined else ""
        oddities.append(f"{share:.0%} of the frames are interlaced with motion, and were deinterlaced{telecined}.")
    oddities += _changes(video_track, shot.start_frame, "begins") + _changes(video_track, shot.stop_frame, "ends")
    return tuple(oddities)


def _changes(video_track: VideoTrack, index: int, event: str) -> list[str]:
    """Return a sentence on what changes at an index where a shot begins or ends; none where nothing does."""
    if not 0 < index < video_track.decoded_frames:
        return []
    before, after = video_track.picture_at(index - 1), video_track.picture_at(index)
    changed = []
    if (before.width_px, before.height_px) != (after.width_px, after.height_px):
        sizes = f"from {before.width_px} x {before.height_px} to {after.width_px} x {after.height_px} pixels"
        changed.append(f"its size {sizes}")
    elif before.pixel_aspect != after.pixel_aspect:
        changed.append("the shape of its stored pixels")
    if before.colors != after.colors:
        changed.append(f"its colours from {before.colors or 'BT.709'} to {after.colors or 'BT.709'}")
    return [f"The shot {event} where the picture changes {' and '.join(changed)}."] if changed else []


def decide(scores: ScenesScores, config: ScenesConfig) -> tuple[Check, ...]:
    """Check that the shot is no dissolve or other change of shots, long enough and complete."""
    transition = Check(
        stage=STAGE,
        reason="transition",
        score=scores.transition,
        operator="<=",
        threshold=config.transnetv2_threshold,
        setting="scenes.transnetv2_threshold",
    )
    return (
        Check(
            stage=STAGE,
            reason="dissolve",
            score=scores.dissolve,
            operator="<=",
            threshold=config.max_dissolve,
            setting="scenes.max_dissolve",
        ),
        *((transition,) if "transnetv2" in config.detectors else ()),
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
