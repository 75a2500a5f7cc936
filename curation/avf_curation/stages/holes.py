"""Divides a shot before its checks: a local hole in the sound or the picture is cut out, so that the rest is kept."""

from dataclasses import dataclass, replace

from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLES_PER_FRAME, Span

from avf_curation.media.types import AudioTrack, VideoTrack, overlapping
from avf_curation.stages.scenes import ScenesConfig, ScenesScores, measure


@dataclass(frozen=True, kw_only=True)
class ShotPiece:
    """A part of a shot, in the order of time."""

    span: Span  # frame range on the 25 fps timeline
    #: Of a hole: what the shot lacks of the kind of this hole, which is why the hole is rejected. None: not a hole.
    hole: ScenesScores | None = None


def split_at_holes(
    shot: Span, video_track: VideoTrack, audio_track: AudioTrack | None, config: ScenesConfig, *, cut_holes: bool = True
) -> list[ShotPiece]:
    """Return the parts of a shot, which tile it.

    A shot that lacks sound or picture for longer than max_missing_s is divided: its longest holes become parts of their
    own until what lies between them is complete enough. A shot longer than max_shot_s is cut into equal parts.

    Args:
        cut_holes: False where the stage rejects nothing, so that its holes stay in the clip.
    """
    parts: list[ShotPiece] = []
    start = shot.start_frame
    holes = _holes_to_cut(shot, video_track, audio_track, config) if cut_holes else []
    for span, lacking in sorted(holes, key=lambda hole: hole[0]):
        if span.start_frame > start:
            parts += _equal_parts(Span(start, span.start_frame), config)
        start = max(start, span.start_frame)  # a hole in the sound may begin in a hole in the picture
        if span.stop_frame > start:
            parts.append(ShotPiece(span=Span(start, span.stop_frame), hole=lacking))
            start = span.stop_frame
    if shot.stop_frame > start:
        parts += _equal_parts(Span(start, shot.stop_frame), config)
    return parts


def _equal_parts(span: Span, config: ScenesConfig) -> list[ShotPiece]:
    if config.max_shot_s is None:
        return [ShotPiece(span=span)]
    count = -(-span.frames // int(config.max_shot_s * FRAMES_PER_SECOND))  # rounded up
    edges = [span.start_frame + span.frames * part // count for part in range(count + 1)]
    return [ShotPiece(span=Span(start, stop)) for start, stop in zip(edges, edges[1:], strict=False)]


def _holes_to_cut(
    shot: Span, video_track: VideoTrack, audio_track: AudioTrack | None, config: ScenesConfig
) -> list[tuple[Span, ScenesScores]]:
    """Return the holes without which every part of the shot is complete enough, each with what the shot lacks."""
    lacking = measure(shot, video_track, audio_track)
    if lacking.length_s < config.min_shot_s:
        return []  # rejected in any case, for the reason that says most
    no_picture = replace(lacking, cut_off_s=0.0, no_sound_s=0.0)
    no_sound = replace(lacking, cut_off_s=0.0, no_picture_s=0.0)
    sound_holes = [(_missing_sound_s(hole, audio_track), hole) for hole in _sound_holes(shot, audio_track)]
    picture_holes = [(hole.seconds, hole) for hole in _picture_holes(shot, video_track)]
    cut = []
    for missing_s, holes, scores in (
        (lacking.no_picture_s, picture_holes, no_picture),
        (lacking.no_sound_s, sound_holes, no_sound),
    ):
        left_s = missing_s
        # The longest first; short ones, such as the end of an AAC track, may stay.
        for seconds, hole in sorted(holes, key=lambda item: (-item[0], item[1])):
            if left_s <= config.max_missing_s:
                break
            cut.append((hole, scores))
            left_s -= seconds
    return cut


def _missing_sound_s(span: Span, audio_track: AudioTrack | None) -> float:
    return audio_track.missing_frames(span) / FRAMES_PER_SECOND if audio_track else span.seconds


def _picture_holes(shot: Span, video_track: VideoTrack) -> list[Span]:
    holes = []
    for gap in overlapping(video_track.gaps, shot):
        start, stop = max(shot.start_frame, gap.start_frame), min(shot.stop_frame, gap.stop_frame)
        if start < stop:
            holes.append(Span(start, stop))
    return holes


def _sound_holes(shot: Span, audio_track: AudioTrack | None) -> list[Span]:
    """Return the frames of the shot for which some or all sound is missing."""
    holes: list[Span] = []
    start = shot.start_frame * SAMPLES_PER_FRAME
    end = shot.stop_frame * SAMPLES_PER_FRAME
    # `covered` counts samples, although Span names its ends after frames.
    covered = overlapping(audio_track.covered, Span(start, end)) if audio_track else ()
    for span in (*covered, Span(end, end)):
        stop = min(span.start_frame, end)
        if start < stop:
            frames = Span(start // SAMPLES_PER_FRAME, -(-stop // SAMPLES_PER_FRAME))
            if holes and frames.start_frame < holes[-1].stop_frame:  # two holes in one frame
                frames = Span(holes.pop().start_frame, frames.stop_frame)
            holes.append(frames)
        start = max(start, span.stop_frame)
    return holes
