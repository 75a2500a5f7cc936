"""A unit: the videos that one worker commits at once. Pools what the clips of a group show together, then commits."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace

from avf_shards.format.run_folder import PackedClip, RunFolder
from avf_shards.schema import ledger
from avf_shards.schema.clip_key import clip_key
from avf_shards.schema.clip_record import ClipRecord
from avf_shards.schema.ledger import Decision, Status
from avf_shards.timeline import FRAMES_PER_SECOND, check_tiling

from avf_curation.detectors import overlay
from avf_curation.media.types import Bytes
from avf_curation.pipeline.video import EncodedClip, SpanOutcome, VideoOutcomes, measurements_json
from avf_curation.recipe import Recipe
from avf_curation.sources.types import Video, is_readable
from avf_curation.stages import quality

CurateVideo = Callable[[Video], VideoOutcomes]
_POOLED = 64  # pictures of one group at most, evenly spread


@dataclass(frozen=True, kw_only=True)
class UnitJob:
    """What a worker needs to know about a unit."""

    unit: int
    attempt: int
    videos: tuple[Video, ...]


@dataclass(frozen=True, kw_only=True)
class UnitReport:
    """What a worker says about a finished unit, for the progress line and the log. cpu_seconds: of its process."""

    unit: int
    videos: int
    kept: int
    rejected: int
    failed: int
    frames: int
    stage_seconds: dict[str, float] = field(default_factory=dict)
    cpu_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class RunIdentity:
    """What goes into every record: the run's fingerprint and its backends."""

    fingerprint: str
    backends: dict[str, str]


def curate_unit(job: UnitJob, run: RunFolder, recipe: Recipe, identity: RunIdentity, curate: CurateVideo) -> UnitReport:
    """Curate every video of the unit, decide what they show together, and commit. The same for every engine."""
    results = [curate(video) for video in job.videos]
    decided = list(decide_unit(results, recipe, identity, job))
    decisions = [decision for decision, _ in decided]
    clips = sorted((clip for _, some in decided for clip in some), key=lambda clip: clip.key)
    counts = {status: sum(one.status == status for one in decisions) for status in ("kept", "rejected", "failed")}
    counts["frames"] = sum(decision.span.frames for decision in decisions)
    run.commit_unit(job.attempt, job.unit, ledger.decisions_to_table(decisions), clips, counts)
    return UnitReport(
        unit=job.unit,
        videos=len(results),
        kept=counts["kept"],
        rejected=counts["rejected"],
        failed=counts["failed"],
        frames=counts["frames"],
    )


def decide_unit(
    results: Iterable[VideoOutcomes], recipe: Recipe, identity: RunIdentity, job: UnitJob
) -> Iterator[tuple[Decision, tuple[PackedClip, ...]]]:
    """Decisions of all spans of the unit, with the clips of each kept one."""
    groups: dict[tuple[str, str], list[VideoOutcomes]] = {}
    for result in results:
        groups.setdefault((result.video.source, result.video.group_id), []).append(result)
    for (source, _), members in groups.items():
        config, gate = recipe.of(source).quality, recipe.of(source).gates.quality
        spans = [outcome for result in members for outcome in result.outcomes]
        pooled = pool_overlay([outcome.pictures for outcome in spans if outcome.pictures], config)
        check = quality.decide_pooled(pooled, config)
        for result in members:
            frames = max(outcome.candidate.span.stop_frame for outcome in result.outcomes)
            check_tiling((outcome.candidate.span for outcome in result.outcomes), frames)
            for outcome in result.outcomes:
                if outcome.clips and gate != "skip":
                    measured = outcome.candidate.measurements.get(quality.STAGE, {}) | {"overlay_pooled_px": pooled}
                    candidate = outcome.candidate.after(quality.STAGE, measured, (check,), gate)
                    outcome = replace(outcome, candidate=candidate)
                yield _decide(result, outcome, identity, job)


def pool_overlay(spans: Sequence[tuple[Bytes, ...]], config: quality.QualityConfig) -> float | None:
    """The watermark in pictures of several spans of one group, of the commonest size. None: too few, or no motion."""
    if len(spans) < config.pool_min_shots:
        return None
    shapes = [pictures[0].shape for pictures in spans]
    commonest = max(sorted(set(shapes)), key=shapes.count)
    pictures = [one for span in spans for one in span if one.shape == commonest]
    if len(pictures) < 2 * config.pool_min_shots:
        return None
    step = max(1, len(pictures) // _POOLED)
    found = overlay.find_overlay(pictures[::step][:_POOLED])
    return None if found is None else float(found.edge_px)


def _decide(
    result: VideoOutcomes, outcome: SpanOutcome, identity: RunIdentity, job: UnitJob
) -> tuple[Decision, tuple[PackedClip, ...]]:
    video, candidate = result.video, outcome.candidate
    status: Status = "failed" if outcome.failure else "rejected" if candidate.failing else "kept"
    decision = Decision(
        source=video.source,
        video_id=video.video_id,
        group_id=video.group_id,
        path=is_readable(video.path),
        span=candidate.span,
        status=status,
        input_bytes=video.size_bytes,
        input_sha256=result.sha256,
        speaker=video.speaker,
        language=video.language,
        unit=job.unit,
        attempt=job.attempt,
        checks=candidate.checks,
        measurements=measurements_json(candidate),
    )
    if outcome.failure is not None:
        failure = outcome.failure
        return replace(decision, stage=failure.stage, error=failure.error, message=failure.message), ()
    failing = candidate.failing
    if failing is not None:
        return replace(
            decision,
            stage=failing.stage,
            reason=failing.reason,
            score=failing.score,
            operator=failing.operator,
            threshold=failing.threshold,
        ), ()
    assert outcome.clips, "a kept span has a clip"
    clips = tuple(_packed(result, outcome, draft, decision, identity) for draft in outcome.clips)
    return replace(decision, clips=tuple(clip.key for clip in clips)), clips


def _packed(
    result: VideoOutcomes, outcome: SpanOutcome, draft: EncodedClip, decision: Decision, identity: RunIdentity
) -> PackedClip:
    video, span = result.video, outcome.candidate.span
    key = clip_key(video.source, video.video_id, span, draft.track)
    record = ClipRecord(
        key=key,
        source=video.source,
        video_id=video.video_id,
        group_id=video.group_id,
        path=decision.path,
        span=span,
        track=draft.track,
        speaker=video.speaker,
        language=video.language,
        window_px=round(draft.window_px, 2),
        size_px=draft.size_px,
        av_offset_ms=draft.shift_frames * 1000 // FRAMES_PER_SECOND,
        input_sha256=decision.input_sha256 or "",
        input_bytes=decision.input_bytes,
        fingerprint=identity.fingerprint,
        backends=identity.backends,
        checks=outcome.candidate.checks,
        measurements=outcome.candidate.measurements,
        start_s=video.start_s,
        origin=None if result.origin is None else asdict(result.origin),
        labels=None if video.labels is None else asdict(video.labels),
    )
    return PackedClip(
        key=key, source=video.source, frames=span.frames, members=draft.media | {"json": record.to_json()}
    )
