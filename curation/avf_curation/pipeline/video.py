"""The pipeline on one screen: what happens to one input, from its first byte to an outcome for every second of it.

Screening (stages 1 to 3: scenes, faces, silence) decodes all of the input once. Refining (stages 4 to 7: track,
speaker, sync, quality, then the clip) decodes again what is left. The two steps may run on different machines.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from avf_shards.system.storage_faults import describe_fault
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLES_PER_FRAME, Span, check_tiling

from avf_curation.detectors.detector_set import Detectors
from avf_curation.detectors.librosa_split import split_silence
from avf_curation.media.decode import MediaFile
from avf_curation.media.types import AudioTrack, MediaError, VideoTrack
from avf_curation.pipeline.failures import BrokenToolError, FailureCause, classify_failure
from avf_curation.pipeline.input_check import (
    audio_covers_video,
    check_source_is_there,
    check_still_unchanged,
    check_unchanged,
    find_separate_audio,
    find_time_range,
    input_digest,
    is_about_input,
    read_origin,
    stat_sound,
    whole_file_digest,
)
from avf_curation.pipeline.outcomes import ScreenedVideo, SpanOutcome, VideoOutcomes, fail_video
from avf_curation.pipeline.screening import ScreenedShot, screen_shots
from avf_curation.pipeline.shot_ends import ShotSearch
from avf_curation.pipeline.shot_parts import split_at_faults
from avf_curation.pipeline.source_clock import read_source_clock
from avf_curation.pipeline.span_parts import refine_span
from avf_curation.pipeline.span_refiner import RefiningContext
from avf_curation.recipe import SourceSettings
from avf_curation.sources.types import Video
from avf_curation.stages import faces, scenes, silence
from avf_curation.stages.candidate import Candidate
from avf_curation.stages.holes import ShotPiece, split_at_holes
from avf_curation.stages.undecided import UNDECIDED

log = logging.getLogger(__name__)


def curate_video(video: Video, root: Path, settings: SourceSettings, detectors: Detectors) -> VideoOutcomes:
    """Measure and decide one input. An input that cannot be used is failed, which raises nothing.

    Raises InfrastructureError for errors of the machine.
    """
    return refine_video(screen_video(video, root, settings, detectors), root, settings, detectors)


def screen_video(video: Video, root: Path, settings: SourceSettings, detectors: Detectors) -> ScreenedVideo:
    """Run stages 1 to 3: one decode of the whole input. Raises as `curate_video`."""
    path, digest, file_digest, sound_stat = root / video.path, None, None, None
    try:
        check_unchanged(video, path)
        sound_stat = stat_sound(video, root)
        digest = input_digest(path, find_separate_audio(video, root), find_time_range(video))
        file_digest = whole_file_digest(video, root)
        screened = _screen(video, root, digest, settings, detectors)
        check_still_unchanged(video, root, sound_stat)
        return replace(screened, file_sha256=file_digest, sound_stat=sound_stat)
    except Exception as error:
        failed = fail_input(video, root, find_cause(video, root, sound_stat, error))
        return ScreenedVideo(video=video, parts=(failed,), sha256=digest, file_sha256=file_digest)


def refine_video(screened: ScreenedVideo, root: Path, settings: SourceSettings, detectors: Detectors) -> VideoOutcomes:
    """Run stages 4 to 7 on the candidates of a screened input, and encode their clips. Raises as `curate_video`."""
    video, clock = screened.video, None
    try:
        outcomes = tuple(_refine(screened, root, settings, detectors))
        clock = read_source_clock(video, root, screened.video_track, screened.start_s)
        if screened.video_track is not None:
            # A file that was replaced meanwhile would mix two inputs.
            check_still_unchanged(video, root, screened.sound_stat)
    except Exception as error:
        outcomes = (fail_input(video, root, find_cause(video, root, screened.sound_stat, error)),)
    frames = max(outcome.candidate.span.stop_frame for outcome in outcomes)
    check_tiling((outcome.candidate.span for outcome in outcomes), frames)
    return VideoOutcomes(
        video=video,
        outcomes=outcomes,
        sha256=screened.sha256,
        file_sha256=screened.file_sha256,
        origin=read_origin(video, root),
        source_clock=clock,
    )


def find_cause(video: Video, root: Path, sound_stat: tuple[int, int] | None, error: Exception) -> Exception:
    """Return why an input failed: a file that changes while it is read says nothing true of itself."""
    if isinstance(error, MediaError) and error.kind not in ("input_changed", "unreadable"):
        try:
            check_still_unchanged(video, root, sound_stat)
        except MediaError as changed:
            return changed
        except OSError as lost:  # of a file that is gone, the failure from before stands
            return error if isinstance(lost, FileNotFoundError) else lost
    return error


def fail_input(video: Video, root: Path, error: Exception) -> SpanOutcome:
    """Return the outcome of an input that cannot be used at all. Raises as `curate_video`."""
    failure = classify_failure("open", error)
    if failure.error == "missing":
        if isinstance(error, OSError) and not is_about_input(error, video, root):
            raise BrokenToolError(describe_fault(error)) from error
        check_source_is_there(video.source, root)
    name = f"{video.source}/{video.video_id}"
    if failure.error == "input_changed":
        log.warning("%s changed since the plan was made: `retry` decides the file as it is now", name)
    log.info("%s failed: %s: %s", name, failure.error, failure.message)
    return fail_video(video, failure)


def _screen(
    video: Video, root: Path, digest: str | None, settings: SourceSettings, detectors: Detectors
) -> ScreenedVideo:
    path, gates = root / video.path, settings.gates
    with MediaFile(path, settings.media, find_separate_audio(video, root), find_time_range(video)) as media:
        if not media.has_video:
            return ScreenedVideo(video=video, parts=(_reject_audio_only(media, settings),), sha256=digest)
        with detectors.clock.stage("scenes+faces"):
            video_track, shots = screen_shots(
                media,
                settings.scenes,
                settings.faces,
                None if gates.faces == "skip" else detectors.face_finder,
                dlib=detectors.dlib,
                search=ShotSearch(find_dissolves=gates.scenes == "decide", network=detectors.shot_network),
            )
        uses_own_audio = video.own_sound_first and audio_covers_video(media.embedded_audio_s(), video_track)
        if uses_own_audio:
            media.use_embedded_audio()
        with detectors.clock.stage("sound"):
            audio = media.audio(video_track.frames)
        screening = _ShotScreening(
            video_track=video_track,
            audio=audio,
            settings=settings,
            detectors=detectors,
            measure_rejected=gates.scores_past_rejection(video.source, video.video_id),
        )
        parts: list[SpanOutcome | Candidate] = []
        for shot in shots:
            for part in split_at_faults(shot, video_track):
                if part.is_damaged:
                    parts.append(_fail_damaged(part.shot.span))
                else:
                    parts += screening.screen(part.shot)
        if video_track.frames > video_track.decoded_frames:
            parts.append(_fail_undecodable_end(video_track))
        has_candidates = any(isinstance(part, Candidate) for part in parts)
        return ScreenedVideo(
            video=video,
            parts=tuple(parts),
            sha256=digest,
            video_track=video_track if has_candidates else None,
            start_s=media.start_s,
            uses_own_audio=uses_own_audio,
        )


def _refine(
    screened: ScreenedVideo, root: Path, settings: SourceSettings, detectors: Detectors
) -> Iterator[SpanOutcome]:
    video, video_track = screened.video, screened.video_track
    if video_track is None:
        yield from (part for part in screened.parts if isinstance(part, SpanOutcome))
        return
    audio_path = None if screened.uses_own_audio else find_separate_audio(video, root)
    with MediaFile(root / video.path, settings.media, audio_path, find_time_range(video)) as media:
        media.resume(video_track, screened.start_s)
        with detectors.clock.stage("sound"):
            audio = media.audio(video_track.frames) or _silent_track(video_track)
        context = RefiningContext(
            media=media,
            audio=audio,
            settings=settings,
            detectors=detectors,
            measure_rejected=settings.gates.scores_past_rejection(video.source, video.video_id),
            side=video.side,
            side_share=video.side_share,
        )
        for part in screened.parts:
            if isinstance(part, SpanOutcome):
                yield part
            else:
                yield from refine_span(part, context)


@dataclass(frozen=True, kw_only=True)
class _ShotScreening:
    """Stages 1 to 3 on the shots of one video."""

    video_track: VideoTrack  # the timeline and the frame size
    audio: AudioTrack | None  # None where the input has no audio
    settings: SourceSettings  # of the video's source
    detectors: Detectors  # the worker's, already loaded
    measure_rejected: bool  # this video is in the sample that is measured on past a rejection

    def screen(self, shot: ScreenedShot) -> Iterator[SpanOutcome | Candidate]:
        """Yield the parts of a shot in order: a Candidate for each stretch of speech, outcomes for the rest."""
        cut_holes = self.settings.gates.scenes == "decide"
        parts = split_at_holes(shot.span, self.video_track, self.audio, self.settings.scenes, cut_holes=cut_holes)
        for part in parts:
            yield from self._screen_part(part, shot)

    def _screen_part(self, part: ShotPiece, shot: ScreenedShot) -> Iterator[SpanOutcome | Candidate]:
        gates = self.settings.gates
        measured = part.hole or scenes.measure(part.span, self.video_track, self.audio)
        measured = replace(measured, dissolve=shot.dissolve, transition=shot.transition)
        checks = scenes.decide(measured, self.settings.scenes)
        candidate = Candidate(span=part.span).with_stage(scenes.STAGE, measured.record(), checks, gates.scenes)
        if candidate.failed_check:  # too short or incomplete: later stages have nothing to measure
            yield SpanOutcome(candidate=candidate)
            return
        if gates.faces != "skip":
            picture = self.video_track.picture_at(shot.span.start_frame)
            seen = faces.measure(shot.faces or (), picture.width_px, picture.height_px, shot.turned_share)
            checks = faces.decide(seen, self.settings.faces)
            checks += gates.undecided_checks(faces.STAGE, checks)
            candidate = candidate.with_stage(faces.STAGE, seen.record(), checks, gates.faces)
        if candidate.failed_check and not self.measure_rejected:
            yield SpanOutcome(candidate=candidate)
        elif gates.silence == "skip":
            yield candidate
        else:
            yield from self._split_silence(candidate)

    def _split_silence(self, candidate: Candidate) -> Iterator[SpanOutcome | Candidate]:
        span, config = candidate.span, self.settings.silence
        audio = self.audio or _silent_track(self.video_track)
        try:
            with self.detectors.clock.stage("silence"):
                stretches = silence.measure(span, audio.cut(span), split_silence, config, self.detectors.find_speech)
        except Exception as error:
            yield SpanOutcome(candidate=candidate, failure=classify_failure(silence.STAGE, error))
            return
        for stretch in stretches:
            part = Candidate(span=stretch.span, checks=candidate.checks, measurements=candidate.measurements)
            checks = silence.decide(stretch, config)
            part = part.with_stage(
                silence.STAGE, stretch.record(), checks + self.settings.gates.undecided_checks(silence.STAGE, checks)
            )
            failed = {check.reason for check in part.checks if check.stage == silence.STAGE and check.passed is False}
            # In a video that is measured past a rejection, other sound goes on to refining, and so does the speech of
            # a shot that an earlier stage rejected; silence has nothing to measure.
            goes_on = failed <= {"no_speech", UNDECIDED} if self.measure_rejected else not failed
            yield part if goes_on else SpanOutcome(candidate=part)


def _silent_track(video_track: VideoTrack) -> AudioTrack:
    return AudioTrack(samples=np.zeros(video_track.frames * SAMPLES_PER_FRAME, np.int16))


def _fail_undecodable_end(video_track: VideoTrack) -> SpanOutcome:
    """Return the outcome of the frames that the input, or its range, declares after the last one that is decoded."""
    candidate = Candidate(span=Span(video_track.decoded_frames, video_track.frames))
    failure = FailureCause(stage="scenes", error="cut_off", message="declared, but cannot be decoded")
    if video_track.is_range_longer:
        failure = FailureCause(stage="scenes", error="range_outside", message="the file ends before the named range")
    return SpanOutcome(candidate=candidate, failure=failure)


def _fail_damaged(span: Span) -> SpanOutcome:
    """Return the outcome of frames that are damaged, or that refer to damaged ones."""
    failure = FailureCause(stage="scenes", error="damaged", message="damaged or lost data, or contradicting clocks")
    return SpanOutcome(candidate=Candidate(span=span), failure=failure)


def _reject_audio_only(media: MediaFile, settings: SourceSettings) -> SpanOutcome:
    """Return the outcome of an input without video: it is as long as its audio, and incomplete. Raises MediaError."""
    audio = media.audio(None)
    if audio is None or not len(audio.samples):
        raise MediaError("no_streams", "neither a picture nor a sound that can be decoded")
    frames = len(audio.samples) // SAMPLES_PER_FRAME
    seconds = frames / FRAMES_PER_SECOND
    measured = scenes.ScenesScores(length_s=seconds, cut_off_s=0.0, no_picture_s=seconds, no_sound_s=0.0)
    candidate = Candidate(span=Span(0, frames))
    checks = scenes.decide(measured, settings.scenes)
    return SpanOutcome(candidate=candidate.with_stage(scenes.STAGE, measured.record(), checks))
