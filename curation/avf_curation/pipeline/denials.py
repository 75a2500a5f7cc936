"""Inputs and spans that were taken down: a run that meets them again rejects them as takedown/denied.

An input that is denied as a whole is not decoded. Its bytes are read for their digest, which tells its twins.
"""

import itertools
from dataclasses import replace
from pathlib import Path

from avf_shards.format.denied_inputs import shift_span
from avf_shards.format.denylist import Denylist
from avf_shards.schema.ledger import TAKEDOWN, Check
from avf_shards.timeline import Span

from avf_curation.pipeline.input_check import file_digests, find_time_range
from avf_curation.pipeline.outcomes import ScreenedVideo, SpanOutcome, VideoOutcomes, unread_span
from avf_curation.sources.types import Video
from avf_curation.stages.candidate import Candidate

DENIED = Check(stage=TAKEDOWN, reason="denied", score=1.0, operator="<=", threshold=0.0)


def deny_input(video: Video, root: Path, denylist: Denylist) -> ScreenedVideo | None:
    """Return the outcome of an input that is denied as a whole, or None for one that is to be curated."""
    if not denylist:
        return None
    digests = _digests(video, root)
    denials = denylist.match_input(video.source, video.video_id, speaker=video.speaker, sha256=digests)
    if next(denials, None) is None:
        return None
    return ScreenedVideo(
        video=video,
        parts=(_reject(unread_span(video)),),
        sha256=next(iter(digests), None),
        file_sha256=digests[1] if digests and find_time_range(video) is not None else None,
    )


def denied_outcomes(screened: ScreenedVideo) -> VideoOutcomes | None:
    """Return the outcomes of an input that `deny_input` ended; None for any other."""
    parts = screened.parts
    if len(parts) == 1 and isinstance(parts[0], SpanOutcome) and parts[0].candidate.checks == (DENIED,):
        return VideoOutcomes(
            video=screened.video, outcomes=(parts[0],), sha256=screened.sha256, file_sha256=screened.file_sha256
        )
    return None


def deny_spans(result: VideoOutcomes, root: Path, denylist: Denylist) -> VideoOutcomes:
    """Return the outcomes with every span rejected that overlaps a denied one; nothing else of it is left."""
    if not denylist:
        return result
    video = result.video
    own, *files = (_digests(video, root) if denylist.has_content else ()) or (result.sha256,)
    start_s = 0.0 if find_time_range(video) is None else video.start_s or 0.0

    def decide(outcome: SpanOutcome) -> SpanOutcome:
        span = outcome.candidate.span
        denials = denylist.match_input(
            video.source,
            video.video_id,
            speaker=video.speaker,
            sha256=[own, result.sha256],
            span=span,
        )
        denials = itertools.chain(denials, denylist.match_files(files, shift_span(span, start_s)))
        return outcome if next(denials, None) is None else _reject(span)

    return replace(result, outcomes=tuple(decide(outcome) for outcome in result.outcomes))


def _reject(span: Span) -> SpanOutcome:
    return SpanOutcome(candidate=Candidate(span=span, checks=(DENIED,)))


def _digests(video: Video, root: Path) -> tuple[str, ...]:
    """Return the digest of the input and those of its files; none where it cannot be read, which its stages report."""
    try:
        return file_digests(video, root)
    except OSError:
        return ()
