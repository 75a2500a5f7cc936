"""Refine one span: track the face, ask whether it speaks, score sync and quality, run added stages, encode clips."""

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace

from avf_curation.detectors.detector_set import Detectors
from avf_curation.media.decode import MediaFile
from avf_curation.media.types import AudioTrack, Bytes
from avf_curation.pipeline import refining, speakers
from avf_curation.pipeline.added_stages import measure_added, view_face
from avf_curation.pipeline.audio_fingerprint import compute_fingerprint
from avf_curation.pipeline.failures import classify_failure
from avf_curation.pipeline.outcomes import EncodedClip, SpanOutcome
from avf_curation.recipe import SourceSettings
from avf_curation.sources.types import Side
from avf_curation.stages import identity, quality, speaker, sync, tracking
from avf_curation.stages.candidate import Candidate

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RefiningContext:
    """The files, settings and detectors that all spans of one video share."""

    media: MediaFile  # the open input
    audio: AudioTrack  # of the full video, 16 kHz
    settings: SourceSettings  # of the video's source
    detectors: Detectors  # the worker's, already loaded
    measure_rejected: bool  # this video is in the sample that is measured on past a rejection
    side: Side | None  # the part of the frame that the person is in
    side_share: float  # share of the width that the left part has


class SpanRefiner:
    """Takes one span through stages 4 to 7. Its state is how far the span came, so that a failure names its stage.

    A rejection is final: where a rejected span is measured on, later stages cannot change the verdict.
    """

    def __init__(self, candidate: Candidate, context: RefiningContext) -> None:
        self._candidate, self._context = candidate, context
        self._stage = tracking.STAGE
        #: The parts of a span that more than one person has, which are to be refined by themselves; else at most one.
        self.parts: list[tracking.SpanPart] = []
        self._scored_faces: speakers.ScoredFaces | None = None  # of a span in which several faces are asked who speaks
        self._face = 0  # number of the face whose track comes first, 0 = the largest

    def refine(self) -> SpanOutcome:
        """Return the outcome of the span. Raises InfrastructureError."""
        try:
            return self._run_stages()
        except Exception as error:
            if self._candidate.failed_check:
                return SpanOutcome(candidate=self._candidate)
            failure = classify_failure(self._stage, error)
            log.debug("a span failed in %s: %s", self._stage, failure.error, exc_info=True)
            return SpanOutcome(candidate=self._candidate, failure=failure)

    def _run_stages(self) -> SpanOutcome:
        frames, tracks = self._track_faces()
        if not tracks or self._stops or len(self.parts) > 1:
            return SpanOutcome(candidate=self._candidate)
        first = tracks[0]
        views: list[refining.View] = ["syncnet"] if self._context.detectors.syncnet is not None else []
        one_is_asked = self._asks_who_speaks and len(tracks) == 1 and self._scored_faces is None
        if one_is_asked or (self._sync_reads_embeddings and not self._asks_who_speaks):
            views.append("lr-asd")
        crops = self._crop(frames, first, views)

        self._ask_who_it_is(first, crops)
        if self._stops or len(self.parts) > 1:
            return SpanOutcome(candidate=self._candidate)

        self._score_speaker(frames, tracks, crops)
        if self._stops:
            return SpanOutcome(candidate=self._candidate)

        shift_frames = self._score_sync(crops, first)
        if self._stops:
            return SpanOutcome(candidate=self._candidate)

        self._measure_added_stages(crops, first)
        if self._stops:
            return SpanOutcome(candidate=self._candidate)

        rejected_before = self._candidate.failed_check is not None
        overlay_frames = self._score_quality(frames, crops, first)
        if self._candidate.failed_check:
            # A span that only the sample measured so far must not influence its group's watermark.
            return SpanOutcome(candidate=self._candidate, overlay_frames=() if rejected_before else overlay_frames)

        clips = self._encode_clips(frames, tracks, crops, shift_frames)
        return SpanOutcome(candidate=self._candidate, clips=clips, overlay_frames=overlay_frames)

    @property
    def _stops(self) -> bool:
        """Return whether the span is rejected and its video is not in the sample that is measured on."""
        return self._candidate.failed_check is not None and not self._context.measure_rejected

    @property
    def _asks_who_speaks(self) -> bool:
        settings = self._context.settings
        is_asked = settings.gates.speaker != "skip" and settings.speaker.backend != "none"
        return self._context.detectors.lr_asd is not None and is_asked

    @property
    def _sync_reads_embeddings(self) -> bool:
        head = self._context.detectors.sync_head
        return head is not None and head.reads_embeddings and self._context.settings.gates.sync != "skip"

    def _track_faces(self) -> tuple[refining.DetectorFrames, list[tracking.Track]]:
        context, settings = self._context, self._context.settings
        with context.detectors.clock.stage("track"):
            side_px = settings.track.side_px
            frames = refining.decode_for_detector(context.media, self._candidate.span, side_px, context.detectors)
            tracks = refining.track_faces(frames, context.detectors, settings.track, context.side, context.side_share)
        if settings.track.people == "speaker" and tracks:
            tracks = self._keep_speaker(frames, tracks)
        first = tracks[0] if tracks else None
        measured = {} if first is None else first.record()
        gate = "decide" if first is None else settings.gates.track  # without a face there is no clip in any case
        checks = tracking.decide(first, settings.track)
        if first is not None and gate == "decide" and not self._candidate.failed_check:
            self.parts = tracking.split_at_other_faces(first, self._candidate.span, settings.track)
        self._candidate = self._candidate.with_stage(tracking.STAGE, measured, checks, gate)
        return frames, tracks

    def _ask_who_it_is(self, track: tracking.Track, crops: refining.FaceCrops) -> None:
        """Ask whether the track stays with one person, and cut the span where another one comes."""
        context, config, gate = self._context, self._context.settings.track, self._context.settings.gates.track
        if context.detectors.face_embedder is None or config.identity == "none":
            return
        with context.detectors.clock.stage("identity"):
            embed = refining.face_embeddings(crops, track, context.detectors)
            stays = identity.measure(len(crops.face_THWC), embed, config)
        if gate == "decide" and not self._candidate.failed_check:
            self.parts = identity.split_at_change(stays, self._candidate.span)
        measured = self._candidate.measurements[tracking.STAGE] | stays.record()
        self._candidate = self._candidate.with_stage(tracking.STAGE, measured, identity.decide(stays, config), gate)

    def _keep_speaker(self, frames: refining.DetectorFrames, tracks: list[tracking.Track]) -> list[tracking.Track]:
        """Return the track of the face that speaks most, alone."""
        self._score_faces(frames, tracks)
        assert self._scored_faces is not None
        self._face = speaker.choose_speaker([scores.scores_T for scores in self._scored_faces.scores])
        return speakers.put_speaker_first(tracks, self._face, frames, self._context.settings.track.max_blend)[:1]

    def _score_faces(self, frames: refining.DetectorFrames, tracks: list[tracking.Track]) -> None:
        """Score each face with the sound of the span."""
        context, before = self._context, self._stage
        self._stage = speaker.STAGE
        with context.detectors.clock.stage("crop"):
            faces = speakers.crop_faces(context.media, frames, tracks, context.detectors)
        with context.detectors.clock.stage(speaker.STAGE):
            samples = context.audio.cut(self._candidate.span)
            self._scored_faces = speakers.score_faces(faces, samples, context.detectors)
        self._stage = before

    def _score_speaker(
        self, frames: refining.DetectorFrames, tracks: list[tracking.Track], crops: refining.FaceCrops
    ) -> None:
        """Ask whether the face of the span speaks, or which of its faces does."""
        self._stage = speaker.STAGE
        context, settings = self._context, self._context.settings
        if settings.gates.speaker == "skip":
            return
        scores = speaker.SpeakerScores(backend="none")
        if self._asks_who_speaks:
            samples = context.audio.cut(self._candidate.span)
            if self._scored_faces is None and crops.speaker_THW is None:
                self._score_faces(frames, tracks)
            with context.detectors.clock.stage(speaker.STAGE):
                if self._scored_faces is None:
                    assert crops.speaker_THW is not None
                    self._scored_faces = speakers.score_faces([crops.speaker_THW], samples, context.detectors)
                scores = self._scored_faces.measure(samples, others_count=settings.track.people == "speaker")
        checks = speaker.decide(scores, settings.speaker)
        checks += settings.gates.undecided_checks(speaker.STAGE, checks)
        self._candidate = self._candidate.with_stage(speaker.STAGE, scores.record(), checks, settings.gates.speaker)

    def _crop(
        self, frames: refining.DetectorFrames, track: tracking.Track, views: Collection[refining.View] = ()
    ) -> refining.FaceCrops:
        context = self._context
        with context.detectors.clock.stage("crop"):
            return refining.crop_clip(context.media, frames, track, context.settings, context.detectors, views=views)

    def _score_sync(self, crops: refining.FaceCrops, track: tracking.Track) -> int:
        """Score the sync and return by how many frames the audio is to be moved later."""
        self._stage = sync.STAGE
        context, config, gate = self._context, self._context.settings.sync, self._context.settings.gates.sync
        if gate == "skip":
            return 0
        samples = context.audio.cut(self._candidate.span)
        with context.detectors.clock.stage(sync.STAGE):
            scores = refining.score_sync(self._embed_face(crops), track, samples, config, context.detectors)
        checks = sync.decide(scores, config)
        checks += context.settings.gates.undecided_checks(sync.STAGE, checks)
        self._candidate = self._candidate.with_stage(sync.STAGE, scores.record(), checks, gate)
        return sync.repair_frames(scores, config) if gate == "decide" else 0

    def _embed_face(self, crops: refining.FaceCrops) -> refining.FaceCrops:
        """Return the crops with LR-ASD's embedding of the face where sync reads it, the one that told who speaks."""
        if not self._sync_reads_embeddings:
            return crops
        if self._scored_faces is not None:
            return replace(crops, embeddings_TV=self._scored_faces.scores[self._face].embeddings_TD)
        return replace(crops, embeddings_TV=self._context.detectors.lr_asd.embed_span(crops.speaker_THW))

    def _measure_added_stages(self, crops: refining.FaceCrops, track: tracking.Track) -> None:
        """Measure the stages of packages, one after another up to the first that rejects the span."""
        context, settings = self._context, self._context.settings
        for added in settings.added_stages:
            self._stage = name = added.stage.name
            gate = getattr(settings.gates, name)
            if gate == "skip":
                continue
            face = view_face(crops, track, context.audio.cut(self._candidate.span))
            with context.detectors.clock.stage(name):
                measured, checks = measure_added(added, face, getattr(settings, name))
            checks += settings.gates.undecided_checks(name, checks)
            self._candidate = self._candidate.with_stage(name, measured, checks, gate)
            if self._stops:
                return

    def _score_quality(
        self, frames: refining.DetectorFrames, crops: refining.FaceCrops, track: tracking.Track
    ) -> tuple[Bytes, ...]:
        """Score the quality and return the frames for the group's watermark search."""
        self._stage = quality.STAGE
        config, gate = self._context.settings.quality, self._context.settings.gates.quality
        if gate == "skip":
            return ()
        with self._context.detectors.clock.stage(quality.STAGE):
            scores, overlay_frames = refining.score_quality(frames, crops, track, config)
        checks = quality.decide(scores, config)
        self._candidate = self._candidate.with_stage(quality.STAGE, scores.record(), checks, gate)
        return overlay_frames

    def _encode_clips(
        self,
        frames: refining.DetectorFrames,
        tracks: list[tracking.Track],
        crops: refining.FaceCrops,
        shift_frames: int,
    ) -> tuple[EncodedClip, ...]:
        """Encode a clip for each track; `crops` are those of the first."""
        self._stage = "clip"
        context, span = self._context, self._candidate.span
        # The fingerprint is of the audio as it came, which the same recording in another corpus shares.
        fingerprint = compute_fingerprint(context.audio.cut(span)).tobytes()
        clips = []
        for number, track in enumerate(tracks):
            if number > 0:
                crops = self._crop(frames, track)
            with context.detectors.clock.stage("clip"):
                media = refining.encode_clip(crops, context.audio, span, shift_frames, context.settings)
            clips.append(
                EncodedClip(
                    media=media | {"fingerprint": fingerprint},
                    window_px=track.window.side_px,
                    size_px=context.settings.clip.size_px,
                    shift_frames=shift_frames,
                    track=number + self._face,
                    crop_px=track.window.box_px(frames.width_px, frames.height_px),
                )
            )
        return tuple(clips)
