"""The decisions of a unit of pictures: one row of the ledger for each, and the record of each that is kept."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from avf_shards.format.picture_record import PICTURE_SPAN, PictureRecord, make_picture_key
from avf_shards.format.run_folder import PackedClip
from avf_shards.format.run_identity import RunIdentity
from avf_shards.schema.ledger import Decision
from avf_shards.timeline import check_tiling

from avf_curation.pipeline.outcomes import EncodedPicture, SpanOutcome, VideoOutcomes
from avf_curation.pipeline.unit import decide_span
from avf_curation.pipeline.unit_job import UnitJob
from avf_curation.recipe import Recipe
from avf_curation.sources.types import RecordPosition


def decide_pictures(
    results: Iterable[VideoOutcomes], recipe: Recipe, identity: RunIdentity, job: UnitJob
) -> Iterator[tuple[Decision, tuple[PackedClip, ...]]]:
    """Yield the decision of every picture of the unit, with what is stored of each that is kept."""
    for result in results:
        check_tiling((outcome.candidate.span for outcome in result.outcomes), PICTURE_SPAN.frames)
        for outcome in result.outcomes:
            decision = decide_span(result, outcome, job)
            packed = _packed_of(result)
            if packed is not None:  # so that two equal records of one file are known as copies
                decision = replace(decision, path=f"{decision.path}#{packed.key}")
            if decision.status != "kept":
                yield decision, ()
                continue
            assert outcome.picture is not None, "a kept picture is encoded"
            clip = _pack(result, outcome, outcome.picture, decision, identity)
            yield replace(decision, clips=(clip.key,)), (clip,)


def _packed_of(result: VideoOutcomes) -> RecordPosition | None:
    return None if result.video.picture is None else result.video.picture.packed


def _pack(
    result: VideoOutcomes, outcome: SpanOutcome, stored: EncodedPicture, decision: Decision, identity: RunIdentity
) -> PackedClip:
    video, packed = result.video, _packed_of(result)
    key = make_picture_key(video.source, video.video_id)
    record = PictureRecord(
        key=key,
        source=video.source,
        picture_id=video.video_id,
        group_id=video.group_id,
        path=decision.path if packed is None else decision.path.removesuffix(f"#{packed.key}"),
        record=None if packed is None else packed.key,
        identity=video.speaker,
        subset=None if video.picture is None else video.picture.subset,
        width_px=stored.width_px,
        height_px=stored.height_px,
        source_width_px=stored.source_width_px,
        source_height_px=stored.source_height_px,
        window_px=stored.window_px,
        face_px=stored.face_px,
        input_sha256=decision.input_sha256 or "",
        input_bytes=decision.input_bytes,
        fingerprint=identity.fingerprint,
        backends=identity.backends,
        checks=outcome.candidate.checks,
        measurements=outcome.candidate.measurements,
        labels=video.labels,
    )
    members = {stored.extension: stored.data, "json": record.to_json()}
    return PackedClip(key=key, source=video.source, frames=PICTURE_SPAN.frames, members=members)
