"""A unit: the videos that one worker curates and commits together, after pooling evidence of each group's clips."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from avf_shards.format.index import FINGERPRINT
from avf_shards.format.run_folder import PackedClip, RunFolder
from avf_shards.format.run_identity import RunIdentity
from avf_shards.packing.near_duplicates import encode_fingerprint
from avf_shards.schema import ledger
from avf_shards.schema.clip_key import make_clip_key
from avf_shards.schema.clip_record import ClipRecord
from avf_shards.schema.ledger import Decision, Status
from avf_shards.schema.measurements import Measurements
from avf_shards.timeline import FRAMES_PER_SECOND, check_tiling

from avf_curation.media.types import Bytes
from avf_curation.pipeline.failures import is_files_own
from avf_curation.pipeline.outcomes import EncodedClip, SpanOutcome, VideoOutcomes, measurements_json
from avf_curation.pipeline.source_clock import cut_labels
from avf_curation.pipeline.unit_job import UnitJob, UnitReport
from avf_curation.recipe import Recipe
from avf_curation.sources.types import Video, utf8_name
from avf_curation.stages import quality

log = logging.getLogger(__name__)
_MAX_POOLED_FRAMES = 64  # of one group, evenly spread
DecideUnit = Callable[
    [Iterable[VideoOutcomes], Recipe, RunIdentity, UnitJob], Iterable[tuple[Decision, tuple[PackedClip, ...]]]
]


def curate_unit(
    job: UnitJob,
    run: RunFolder,
    recipe: Recipe,
    identity: RunIdentity,
    curate_video: Callable[[Video], VideoOutcomes],
    *,
    decide: DecideUnit,
) -> UnitReport:
    """Curate every video of the unit, decide them together with `decide`, and commit the unit.

    A unit with more failures that are not the files' than the job knows of is not committed.

    Raises InfrastructureError and OSError.
    """
    results = [curate_video(video) for video in job.videos]
    faults, fault_example = _count_faults(results)
    source = job.videos[0].source
    settled = ("unreadable",) if job.fails_unreadable else ()
    if any(videos > job.known_faults.get(kind, 0) for kind, videos in faults.items() if kind not in settled):
        return UnitReport(
            unit=job.unit,
            videos=len(results),
            kept=0,
            rejected=0,
            failed=0,
            frames=0,
            source=source,
            faults=dict(Counter(faults) | Counter(job.known_faults)),
            fault_example=fault_example,
            is_committed=False,
        )
    decided = list(decide(results, recipe, identity, job))
    decisions = [decision for decision, _ in decided]
    clips = sorted((clip for _, span_clips in decided for clip in span_clips), key=lambda clip: clip.key)
    counts = {status: sum(d.status == status for d in decisions) for status in ("kept", "rejected", "failed")}
    counts["frames"] = sum(decision.span.frames for decision in decisions)
    run.commit_unit(job.attempt, job.unit, ledger.decisions_to_table(decisions), clips, counts)
    return UnitReport(
        unit=job.unit,
        videos=len(results),
        kept=counts["kept"],
        rejected=counts["rejected"],
        failed=counts["failed"],
        frames=counts["frames"],
        source=source,
        faults=faults,
        fault_example=fault_example,
    )


def _count_faults(results: Sequence[VideoOutcomes]) -> tuple[dict[str, int], str]:
    """Return how many videos failed with each kind that is not the file's, and the first such failure in words."""
    counts: Counter[str] = Counter()
    example = ""
    for result in results:
        failures = {outcome.failure.error: outcome.failure for outcome in result.outcomes if outcome.failure}
        doubtful = sorted(kind for kind in failures if not is_files_own(kind))
        counts.update(doubtful)
        if doubtful and not example:
            failure = failures[doubtful[0]]
            name = f"{result.video.source}/{result.video.video_id}"
            example = f"{name}, {failure.stage}/{failure.error}: {failure.message}"
    return dict(counts), example


def decide_unit(
    results: Iterable[VideoOutcomes], recipe: Recipe, identity: RunIdentity, job: UnitJob
) -> Iterator[tuple[Decision, tuple[PackedClip, ...]]]:
    """Yield the decision of every span of the unit, with the clips of each kept span."""
    groups: dict[tuple[str, str], list[VideoOutcomes]] = {}
    for result in results:
        groups.setdefault((result.video.source, result.video.group_id), []).append(result)
    for (source, _), members in groups.items():
        config, gates = recipe.settings_for(source).quality, recipe.settings_for(source).gates
        spans = [outcome for result in members for outcome in result.outcomes]
        pooled_px = pool_overlay([outcome.overlay_frames for outcome in spans if outcome.overlay_frames], config)
        check = quality.decide_pooled(pooled_px, config)
        for result in members:
            frames = max(outcome.candidate.span.stop_frame for outcome in result.outcomes)
            check_tiling((outcome.candidate.span for outcome in result.outcomes), frames)
            for outcome in result.outcomes:
                if outcome.clips and gates.quality != "skip":
                    measured = outcome.candidate.measurements.get(quality.STAGE, {}) | {"overlay_pooled_px": pooled_px}
                    # Only now: a watermark that the span alone could not show may show in its group.
                    own = [own for own in outcome.candidate.checks if own.stage == quality.STAGE]
                    checks = (check, *gates.undecided_checks(quality.STAGE, (*own, check)))
                    candidate = outcome.candidate.with_stage(quality.STAGE, measured, checks, gates.quality)
                    outcome = replace(outcome, candidate=candidate)
                decision = decide_span(result, outcome, job)
                clips = outcome.clips if decision.status == "kept" else ()
                assert clips or decision.status != "kept", "a kept span has a clip"
                packed = tuple(_pack_clip(result, outcome, clip, decision, identity) for clip in clips)
                yield replace(decision, clips=tuple(clip.key for clip in packed)), packed


def pool_overlay(spans: Sequence[tuple[Bytes, ...]], config: quality.QualityConfig) -> float | None:
    """Return the edge pixels of a watermark that frames of several spans of one group share.

    None where there are too few frames of one size, or where too little moves between them to tell.
    """
    from avf_curation.detectors.overlay import find_overlay  # imports OpenCV, and commands without video import this

    if len(spans) < config.pool_min_shots:
        return None
    shapes = [frames[0].shape for frames in spans]
    # A watermark is compared pixel by pixel, so only frames of one size can be pooled. Sorting makes ties the same
    # in every run.
    commonest = max(sorted(set(shapes)), key=shapes.count)
    frames = [frame for span_frames in spans for frame in span_frames if frame.shape == commonest]
    if len(frames) < 2 * config.pool_min_shots:
        return None
    step = max(1, len(frames) // _MAX_POOLED_FRAMES)
    watermark = find_overlay(frames[::step][:_MAX_POOLED_FRAMES])
    return None if watermark is None else float(watermark.edge_px)


def decide_span(result: VideoOutcomes, outcome: SpanOutcome, job: UnitJob) -> Decision:
    """Return the decision of a span; one that is kept has no clips yet."""
    video, candidate = result.video, outcome.candidate
    status: Status = "failed" if outcome.failure else "rejected" if candidate.failed_check else "kept"
    decision = Decision(
        source=video.source,
        video_id=video.video_id,
        group_id=video.group_id,
        path=utf8_name(video.path),
        span=candidate.span,
        status=status,
        input_bytes=video.size_bytes,
        input_sha256=result.sha256,
        file_sha256=result.file_sha256,
        start_s=None if result.file_sha256 is None else video.start_s,
        stop_s=None if result.file_sha256 is None else video.stop_s,
        speaker=video.speaker,
        language=video.language,
        unit=job.unit,
        attempt=job.attempt,
        checks=candidate.checks,
        measurements=measurements_json(candidate),
    )
    if outcome.failure is not None:
        failure = outcome.failure
        return replace(decision, stage=failure.stage, error=failure.error, message=failure.message)
    failing = candidate.failed_check
    if failing is not None:
        return replace(
            decision,
            stage=failing.stage,
            reason=failing.reason,
            score=failing.score,
            operator=failing.operator,
            threshold=failing.threshold,
        )
    return decision


def _pack_clip(
    result: VideoOutcomes, outcome: SpanOutcome, clip: EncodedClip, decision: Decision, identity: RunIdentity
) -> PackedClip:
    video, span = result.video, outcome.candidate.span
    key = make_clip_key(video.source, video.video_id, span, clip.track)
    record = ClipRecord(
        key=key,
        source=video.source,
        video_id=video.video_id,
        group_id=video.group_id,
        path=decision.path,
        span=span,
        track=clip.track,
        speaker=video.speaker,
        language=video.language,
        window_px=round(clip.window_px, 2),
        size_px=clip.size_px,
        av_offset_ms=clip.shift_frames * 1000 // FRAMES_PER_SECOND,
        input_sha256=decision.input_sha256 or "",
        input_bytes=decision.input_bytes,
        fingerprint=identity.fingerprint,
        backends=identity.backends,
        checks=outcome.candidate.checks,
        measurements=Measurements.from_stages(outcome.candidate.measurements),
        start_s=video.start_s,
        file_sha256=decision.file_sha256,
        origin=result.origin,
        labels=cut_labels(video.labels, result.source_clock, span),
        audio_fingerprint=encode_fingerprint(clip.media[FINGERPRINT]) if FINGERPRINT in clip.media else None,
        crop_px=clip.crop_px,
    )
    files = clip.media | {"json": record.to_json()}
    return PackedClip(key=key, source=video.source, frames=span.frames, members=files)
