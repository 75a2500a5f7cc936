"""The pipeline on one screen: what happens to one input, from its first byte to an outcome for every second of it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from avf_shards.schema.labels import Origin
from avf_shards.timeline import SAMPLES_PER_FRAME, Span, check_tiling

from avf_curation.detectors.detector_set import Detectors
from avf_curation.detectors.librosa_split import split_silence
from avf_curation.media.decode import MediaFile
from avf_curation.media.types import AudioTrack, Bytes, MediaError, VideoTrack
from avf_curation.pipeline import refining
from avf_curation.pipeline.audio_fingerprint import compute_fingerprint
from avf_curation.pipeline.failures import FailureCause, classify_failure
from avf_curation.pipeline.input_check import (
    audio_covers_video,
    check_unchanged,
    input_digest,
    read_origin,
    separate_audio,
    time_range,
)
from avf_curation.pipeline.screening import ScreenedShot, screen_shots
from avf_curation.recipe import SourceSettings
from avf_curation.sources.types import Video
from avf_curation.stages import faces, quality, scenes, silence, sync, tracking
from avf_curation.stages.candidate import Candidate


@dataclass(frozen=True, kw_only=True)
class EncodedClip:
    """A clip that passed all that one span can show: its media, its window, the shift of its sound."""

    media: dict[str, bytes]
    window_px: float
    size_px: int
    shift_frames: int
    track: int = 0


@dataclass(frozen=True, kw_only=True)
class SpanOutcome:
    """The end of one span, but for what the spans of its group show together.

    Kept: clips, one for each person; rejected: a failing check in `candidate`; failed: `failure`. `pictures` are for
    the pooled watermark.
    """

    candidate: Candidate
    failure: FailureCause | None = None
    clips: tuple[EncodedClip, ...] = ()
    pictures: tuple[Bytes, ...] = ()


@dataclass(frozen=True, kw_only=True)
class VideoOutcomes:
    """All outcomes of one input; their spans tile its timeline."""

    video: Video
    outcomes: tuple[SpanOutcome, ...]
    sha256: str | None = None
    origin: Origin | None = None


@dataclass(frozen=True, kw_only=True)
class ScreenedVideo:
    """One input after screening: its timeline, and its parts in order, ended or still alive. No frame is in it, so it
    can go to another machine for refining. picture: None where nothing is alive."""

    video: Video
    parts: tuple[SpanOutcome | Candidate, ...]
    sha256: str | None = None
    picture: VideoTrack | None = None
    start_s: float = 0.0
    own_sound: bool = False


def curate_video(video: Video, root: Path, settings: SourceSettings, tools: Detectors) -> VideoOutcomes:
    """Measure and decide one input. Never raises for the input's sake; raises InfrastructureError for the machine's."""
    return refine_video(screen_video(video, root, settings, tools), root, settings, tools)


def screen_video(video: Video, root: Path, settings: SourceSettings, tools: Detectors) -> ScreenedVideo:
    """Stages 1 to 3: one decode of all of it. Raises as curate_video."""
    path, digest = root / video.path, None
    try:
        check_unchanged(video, path)
        digest = input_digest(path, separate_audio(video, root), time_range(video))
        return _screen(video, path, root, digest=digest, settings=settings, tools=tools)
    except Exception as error:
        return ScreenedVideo(video=video, parts=(fail_video(classify_failure("open", error)),), sha256=digest)


def refine_video(screened: ScreenedVideo, root: Path, settings: SourceSettings, tools: Detectors) -> VideoOutcomes:
    """Stages 4 to 6 and the clips of what is still alive, which is decoded again. Raises as curate_video."""
    video = screened.video
    try:
        outcomes = tuple(_refined(screened, root, settings, tools))
        if screened.picture is not None:
            check_unchanged(video, root / video.path)
    except Exception as error:
        outcomes = (fail_video(classify_failure("open", error)),)
    frames = max(outcome.candidate.span.stop_frame for outcome in outcomes)
    check_tiling((outcome.candidate.span for outcome in outcomes), frames)
    return VideoOutcomes(video=video, outcomes=outcomes, sha256=screened.sha256, origin=read_origin(video, root))


def _screen(
    video: Video, path: Path, root: Path, *, digest: str | None, settings: SourceSettings, tools: Detectors
) -> ScreenedVideo:
    gates = settings.gates
    with MediaFile(path, settings.media, separate_audio(video, root), time_range(video)) as media:
        if not media.has_picture:
            return ScreenedVideo(video=video, parts=(_sound_only(media, settings),), sha256=digest)
        with tools.clock.stage("scenes+faces"):
            picture, shots = screen_shots(media, settings.scenes, settings.faces, tools.dlib, gates.faces != "skip")
        own_sound = video.own_sound_first and audio_covers_video(media.own_sound_s(), picture)
        if own_sound:
            media.take_own_sound()
        with tools.clock.stage("sound"):
            sound = media.sound(picture.frames)
        parts: list[SpanOutcome | Candidate] = []
        for shot in (
            ScreenedShot(span=part, faces=whole.faces)
            for whole in shots
            for part in scenes.parts(whole.span, settings.scenes)
        ):
            parts += _shot(shot, picture, sound, settings, tools, goes_on=gates.goes_on(video.source, video.video_id))
        if picture.frames > picture.decoded_frames:
            tail = Candidate(span=Span(picture.decoded_frames, picture.frames))
            parts.append(
                SpanOutcome(
                    candidate=tail,
                    failure=FailureCause(stage="scenes", error="cut_off", message="declared, but cannot be decoded"),
                )
            )
        check_unchanged(video, path)
        alive = any(isinstance(part, Candidate) for part in parts)
        return ScreenedVideo(
            video=video,
            parts=tuple(parts),
            sha256=digest,
            picture=picture if alive else None,
            start_s=media.start_s,
            own_sound=own_sound,
        )


def _refined(screened: ScreenedVideo, root: Path, settings: SourceSettings, tools: Detectors) -> Iterator[SpanOutcome]:
    video, picture = screened.video, screened.picture
    if picture is None:
        yield from (part for part in screened.parts if isinstance(part, SpanOutcome))
        return
    path, beside = root / video.path, None if screened.own_sound else separate_audio(video, root)
    with MediaFile(path, settings.media, beside, time_range(video)) as media:
        media.resume(picture, screened.start_s)
        with tools.clock.stage("sound"):
            sound = media.sound(picture.frames) or AudioTrack(
                samples=np.zeros(picture.frames * SAMPLES_PER_FRAME, np.int16)
            )
        for part in screened.parts:
            yield (
                part
                if isinstance(part, SpanOutcome)
                else _refine(part, media, sound, settings=settings, tools=tools, video=video)
            )


def _shot(
    shot: ScreenedShot,
    picture: VideoTrack,
    sound: AudioTrack | None,
    settings: SourceSettings,
    tools: Detectors,
    *,
    goes_on: bool,
) -> Iterator[SpanOutcome | Candidate]:
    """Stages 1 to 3 on one shot; what speech it holds goes on, and in the sample of `goes_on` what was rejected too."""
    gates = settings.gates
    whole = scenes.measure(shot.span, picture, sound)
    checks = scenes.decide(whole, settings.scenes)
    candidate = Candidate(span=shot.span).after(scenes.STAGE, whole.record(), checks, gates.scenes)
    if candidate.failing:  # incomplete or too short: there is nothing to go on with
        yield SpanOutcome(candidate=candidate)
        return
    sound = sound or AudioTrack(samples=np.zeros(picture.frames * SAMPLES_PER_FRAME, np.int16))
    if gates.faces != "skip":
        seen = faces.measure(shot.faces or (), picture.width_px, picture.height_px)
        candidate = candidate.after(faces.STAGE, seen.record(), faces.decide(seen, settings.faces), gates.faces)
    if candidate.failing and not goes_on:
        yield SpanOutcome(candidate=candidate)
        return
    if gates.silence == "skip":
        yield candidate
        return
    try:
        with tools.clock.stage("silence"):
            stretches = silence.measure(shot.span, sound.cut(shot.span), split_silence, settings.silence)
    except Exception as error:
        yield SpanOutcome(candidate=candidate, failure=classify_failure(silence.STAGE, error))
        return
    for stretch in stretches:
        part = Candidate(span=stretch.span, checks=candidate.checks, measurements=candidate.measurements)
        part = part.after(silence.STAGE, stretch.record(), silence.decide(stretch, settings.silence))
        silent = any(check.passed is False for check in part.checks if check.stage == silence.STAGE)
        yield SpanOutcome(candidate=part) if silent else part


def _refine(
    candidate: Candidate,
    media: MediaFile,
    sound: AudioTrack,
    *,
    settings: SourceSettings,
    tools: Detectors,
    video: Video,
) -> SpanOutcome:
    """Stages 4 to 6 on one stretch of speech, and its clip. A verdict that stands is not changed by what follows."""
    stage = tracking.STAGE
    span, gates = candidate.span, settings.gates
    stops = not gates.goes_on(video.source, video.video_id)
    try:
        with tools.clock.stage("track"):
            seen = refining.decode_for_detector(media, span, settings.track.side_px, tools)
            tracks = refining.track_faces(seen, tools, settings.track, video.side)
        found = tracks[0] if tracks else None
        record = {} if found is None else found.record()
        gate = "decide" if found is None else gates.track  # without a face there is no clip
        candidate = candidate.after(stage, record, tracking.decide(found, settings.track), gate)
        if found is None or (candidate.failing and stops):
            return SpanOutcome(candidate=candidate)
        with tools.clock.stage("crop"):
            crops = refining.crop_clip(media, seen, found, settings, tools, with_sync=tools.syncnet is not None)

        stage, shift = sync.STAGE, 0
        if gates.sync != "skip":
            with tools.clock.stage(stage):
                heard = refining.score_sync(crops, found, sound.cut(span), settings.sync, tools)
            candidate = candidate.after(stage, heard.record(), sync.decide(heard, settings.sync), gates.sync)
            shift = sync.repair_frames(heard, settings.sync) if gates.sync == "decide" else 0
            if candidate.failing and stops:
                return SpanOutcome(candidate=candidate)

        stage = quality.STAGE
        pictures: tuple[Bytes, ...] = ()
        if gates.quality != "skip":
            with tools.clock.stage(stage):
                scores, pictures = refining.score_quality(seen, crops, found, settings.quality)
            before = candidate.failing
            candidate = candidate.after(stage, scores.record(), quality.decide(scores, settings.quality), gates.quality)
            if candidate.failing:  # what only the sample looked at must not sway its group's watermark
                return SpanOutcome(candidate=candidate, pictures=() if before else pictures)
        if candidate.failing:
            return SpanOutcome(candidate=candidate)

        stage = "clip"
        with tools.clock.stage(stage):
            files = refining.encode_clip(crops, sound, span, shift, settings)
        files["fingerprint"] = compute_fingerprint(sound.cut(span)).tobytes()
        clips = [
            EncodedClip(media=files, window_px=found.window.side_px, size_px=settings.clip.size_px, shift_frames=shift)
        ]
        for number, other in enumerate(tracks[1:], 1):
            with tools.clock.stage("crop"):
                crops = refining.crop_clip(media, seen, other, settings, tools, with_sync=False)
            files = refining.encode_clip(crops, sound, span, shift, settings) | {"fingerprint": files["fingerprint"]}
            clips.append(
                EncodedClip(
                    media=files,
                    window_px=other.window.side_px,
                    size_px=settings.clip.size_px,
                    shift_frames=shift,
                    track=number,
                )
            )
        return SpanOutcome(candidate=candidate, clips=tuple(clips), pictures=pictures)
    except Exception as error:
        if candidate.failing:
            return SpanOutcome(candidate=candidate)
        return SpanOutcome(candidate=candidate, failure=classify_failure(stage, error))


def _sound_only(media: MediaFile, settings: SourceSettings) -> SpanOutcome:
    """An input without pictures: its length is the sound's, and it is incomplete."""
    sound = media.sound(None)
    if sound is None or not len(sound.samples):
        raise MediaError("no_streams", "neither a picture nor a sound that can be decoded")
    frames = len(sound.samples) // SAMPLES_PER_FRAME
    whole = scenes.ScenesScores(length_s=frames / 25, cut_off_s=0.0, no_picture_s=frames / 25, no_sound_s=0.0)
    candidate = Candidate(span=Span(0, frames))
    return SpanOutcome(candidate=candidate.after(scenes.STAGE, whole.record(), scenes.decide(whole, settings.scenes)))


def fail_video(failure: FailureCause) -> SpanOutcome:
    """An input that cannot be used at all has no frames."""
    return SpanOutcome(candidate=Candidate(span=Span(0, 0)), failure=failure)


def measurements_json(candidate: Candidate) -> str:
    """The ledger's JSON of what was measured."""
    return json.dumps(candidate.measurements, sort_keys=True)
