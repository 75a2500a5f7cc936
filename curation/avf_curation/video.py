"""The pipeline on one screen: what happens to one input, from its first byte to an outcome for every second of it."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLES_PER_FRAME, Span, check_tiling

from avf_curation import refine
from avf_curation.backends.decode import MediaFile
from avf_curation.backends.librosa_split import split
from avf_curation.candidate import Candidate
from avf_curation.failure import Failure, failure_of
from avf_curation.inputs import Origin, Video
from avf_curation.media import Bytes, MediaError, Picture, Range, Sound
from avf_curation.recipe import SourceSettings
from avf_curation.screen import Shot, screen
from avf_curation.soundprint import soundprint
from avf_curation.sources.voxceleb2 import face_track
from avf_curation.stages import faces, quality, scenes, silence, sync, track
from avf_curation.tools import Tools

_OWN_SOUND_S = 0.1  # VoxCeleb2: 145 clips have sound that is longer or shorter than the picture by more


@dataclass(frozen=True)
class ClipDraft:
    """A clip that passed all that one span can show: its media, its window, the shift of its sound."""

    media: dict[str, bytes]
    window_px: float
    size_px: int
    shift_frames: int


@dataclass(frozen=True)
class Outcome:
    """The end of one span, but for what the spans of its parent show together.

    Kept: a clip; rejected: a failing check in `candidate`; failed: `failure`. `pictures` are for the pooled watermark.
    """

    candidate: Candidate
    failure: Failure | None = None
    clip: ClipDraft | None = None
    pictures: tuple[Bytes, ...] = ()


@dataclass(frozen=True)
class VideoResult:
    """All outcomes of one input; their spans tile its timeline."""

    video: Video
    outcomes: tuple[Outcome, ...]
    sha256: str | None = None
    origin: Origin | None = None


def curate_video(video: Video, root: Path, settings: SourceSettings, tools: Tools) -> VideoResult:
    """Measure and decide one input. Never raises for the input's sake; raises InfrastructureError for the machine's."""
    path = root / video.path
    digest = None
    try:
        check_unchanged(video, path)
        digest = digest_of(path, None if video.sound_path is None else root / video.sound_path, range_of(video))
        outcomes = tuple(_curate(path, video, root, settings, tools))
        check_unchanged(video, path)
    except Exception as error:
        outcomes = (failed_whole(failure_of("open", error)),)
    frames = max(outcome.candidate.span.stop_frame for outcome in outcomes)
    check_tiling((outcome.candidate.span for outcome in outcomes), frames)
    return VideoResult(video, outcomes, digest, origin_of(video, root))


def _curate(path: Path, video: Video, root: Path, settings: SourceSettings, tools: Tools) -> Iterator[Outcome]:
    sound_path = None if video.sound_path is None else root / video.sound_path
    gates = settings.gates
    goes_on = gates.goes_on(video.source, video.video)
    with MediaFile(path, settings.media, sound_path, range_of(video)) as media:
        if not media.has_picture:
            yield _sound_only(media, settings)
            return
        with tools.clock.stage("scenes+faces"):
            picture, shots = screen(media, settings.scenes, settings.faces, tools.dlib, gates.faces != "skip")
        if video.own_sound_first and _fits(media.own_sound_s(), picture):
            media.take_own_sound()
        with tools.clock.stage("sound"):
            sound = media.sound(picture.frames)
        for shot in shots:
            yield from _shot(shot, picture, sound, media, settings, tools, goes_on)
        if picture.frames > picture.decoded_frames:
            tail = Candidate(Span(picture.decoded_frames, picture.frames))
            yield Outcome(tail, Failure("scenes", "cut_off", "declared, but cannot be decoded"))


def _shot(
    shot: Shot,
    picture: Picture,
    sound: Sound | None,
    media: MediaFile,
    settings: SourceSettings,
    tools: Tools,
    goes_on: bool,
) -> Iterator[Outcome]:
    """Stages 1 to 3 on one shot; what speech it holds goes on, and in the sample of `goes_on` what was rejected too."""
    gates = settings.gates
    whole = scenes.measure(shot.span, picture, sound)
    checks = scenes.decide(whole, settings.scenes)
    candidate = Candidate(shot.span).after(scenes.STAGE, whole.record(), checks, gates.scenes)
    if candidate.failing:  # incomplete or too short: there is nothing to go on with
        yield Outcome(candidate)
        return
    sound = sound or Sound(np.zeros(picture.frames * SAMPLES_PER_FRAME, np.int16))
    if gates.faces != "skip":
        seen = faces.measure(shot.faces or (), picture.width_px, picture.height_px)
        candidate = candidate.after(faces.STAGE, seen.record(), faces.decide(seen, settings.faces), gates.faces)
    if candidate.failing and not goes_on:
        yield Outcome(candidate)
        return
    if gates.silence == "skip":
        yield _refine(candidate, media, sound, settings, tools, goes_on)
        return
    try:
        with tools.clock.stage("silence"):
            stretches = silence.measure(shot.span, sound.cut(shot.span), split, settings.silence)
    except Exception as error:
        yield Outcome(candidate, failure_of(silence.STAGE, error))
        return
    for stretch in stretches:
        part = Candidate(stretch.span, candidate.checks, candidate.measures)
        part = part.after(silence.STAGE, stretch.record(), silence.decide(stretch, settings.silence))
        spoken = all(check.passed for check in part.checks if check.stage == silence.STAGE)
        yield _refine(part, media, sound, settings, tools, goes_on) if spoken else Outcome(part)


def _refine(
    candidate: Candidate, media: MediaFile, sound: Sound, settings: SourceSettings, tools: Tools, goes_on: bool
) -> Outcome:
    """Stages 4 to 6 on one stretch of speech, and its clip. A verdict that stands is not changed by what follows."""
    stage = track.STAGE
    span, gates = candidate.span, settings.gates
    stops = not goes_on
    try:
        with tools.clock.stage("track"):
            seen = refine.look(media, span, settings.track.side_px, tools)
            found = refine.follow(seen, tools, settings.track)
        record = {} if found is None else found.record()
        gate = "decide" if found is None else gates.track  # without a face there is no clip
        candidate = candidate.after(stage, record, track.decide(found, settings.track), gate)
        if found is None or (candidate.failing and stops):
            return Outcome(candidate)
        with tools.clock.stage("crop"):
            crops = refine.cut_out(media, seen, found, settings, tools, tools.syncnet is not None)

        stage, shift = sync.STAGE, 0
        if gates.sync != "skip":
            with tools.clock.stage(stage):
                heard = refine.synchrony(crops, found, sound.cut(span), settings.sync, tools)
            candidate = candidate.after(stage, heard.record(), sync.decide(heard, settings.sync), gates.sync)
            shift = sync.repair_frames(heard, settings.sync) if gates.sync == "decide" else 0
            if candidate.failing and stops:
                return Outcome(candidate)

        stage = quality.STAGE
        pictures: tuple[Bytes, ...] = ()
        if gates.quality != "skip":
            with tools.clock.stage(stage):
                scores, pictures = refine.assess(seen, crops, found, settings.quality)
            before = candidate.failing
            candidate = candidate.after(stage, scores.record(), quality.decide(scores, settings.quality), gates.quality)
            if candidate.failing:  # what only the sample looked at must not sway its parent's watermark
                return Outcome(candidate, pictures=() if before else pictures)
        if candidate.failing:
            return Outcome(candidate)

        stage = "clip"
        with tools.clock.stage(stage):
            files = refine.store(crops, sound, span, shift, settings)
        files["print"] = soundprint(sound.cut(span)).tobytes()
        clip = ClipDraft(files, found.window.side_px, settings.clip.size_px, shift)
        return Outcome(candidate, clip=clip, pictures=pictures)
    except Exception as error:
        if candidate.failing:
            return Outcome(candidate)
        return Outcome(candidate, failure_of(stage, error))


def _sound_only(media: MediaFile, settings: SourceSettings) -> Outcome:
    """An input without pictures: its length is the sound's, and it is incomplete."""
    sound = media.sound(None)
    if sound is None or not len(sound.samples):
        raise MediaError("no_streams", "neither a picture nor a sound that can be decoded")
    frames = len(sound.samples) // SAMPLES_PER_FRAME
    whole = scenes.ScenesScores(frames / 25, 0.0, frames / 25, 0.0)
    candidate = Candidate(Span(0, frames))
    return Outcome(candidate.after(scenes.STAGE, whole.record(), scenes.decide(whole, settings.scenes)))


def failed_whole(failure: Failure) -> Outcome:
    """An input that cannot be used at all has no frames."""
    return Outcome(Candidate(Span(0, 0)), failure)


def check_unchanged(video: Video, path: Path) -> None:
    """Raise MediaError when the file is not the one that was planned."""
    stat = os.stat(path)
    if (stat.st_size, stat.st_mtime_ns) != (video.size_bytes, video.mtime_ns):
        if video.mtime_ns == 0 and video.size_bytes == 0:
            raise MediaError("unreadable", "could not be read when the plan was made")
        raise MediaError("input_changed", "size or time of the file changed after the plan was made")


def _fits(sound_s: float | None, picture: Picture) -> bool:
    """Whether a file's own sound is there and as long as its picture, within what some corpora are off by."""
    return sound_s is not None and abs(sound_s - picture.frames / FRAMES_PER_SECOND) <= _OWN_SOUND_S


def range_of(video: Video) -> Range | None:
    """The part of its file that is the video; None: all of it."""
    if video.start_s is None or video.stop_s is None:
        return None
    return Range(video.start_s, video.stop_s)


def origin_of(video: Video, root: Path) -> Origin | None:
    """Where the owners say the video was cut from; with their face track, where they give one that can be read."""
    if video.origin is None or video.boxes_path is None:
        return video.origin
    try:
        return face_track((root / video.boxes_path).read_text("utf-8", "replace"), video.origin.id)
    except (OSError, ValueError):  # `sources check` lists them; a hint is not worth a clip
        return video.origin


def digest_of(path: Path, sound_path: Path | None, within: Range | None = None) -> str:
    """SHA-256 of the file; of both files' digests where the sound lies in a second one, and of the range in it."""
    digests = []
    for one in (path, sound_path):
        if one is not None:
            with open(one, "rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    if within is not None:
        digests.append(f"{within.start_s!r}-{within.stop_s!r}")
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def measures_json(candidate: Candidate) -> str:
    """The ledger's JSON of what was measured."""
    return json.dumps(candidate.measures, sort_keys=True)
