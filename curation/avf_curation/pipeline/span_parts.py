"""Refines a span; where another person's face takes the place of the tracked one, what each of them has by itself."""

from collections.abc import Iterator
from dataclasses import replace

from avf_shards.timeline import Span

from avf_curation.pipeline.outcomes import SpanOutcome
from avf_curation.pipeline.span_refiner import RefiningContext, SpanRefiner
from avf_curation.stages import identity, scenes, silence, tracking
from avf_curation.stages.candidate import Candidate

_CHANGES = (tracking.ANOTHER_FACE, identity.TWO_PEOPLE)  # reasons of a part in which one face gives way to another


def refine_span(candidate: Candidate, context: RefiningContext) -> Iterator[SpanOutcome]:
    """Yield the outcomes of a span, which tile it: one, or one for each part. Raises InfrastructureError."""
    refiner = SpanRefiner(candidate, context)
    outcome = refiner.refine()
    if len(refiner.parts) < 2:
        yield outcome
        return
    for part in refiner.parts:
        if part.is_change:
            yield replace(outcome, candidate=_reject_change(outcome.candidate, part.span))
            continue
        own = _shorten(candidate, part.span, context)
        if own.failed_check:
            yield SpanOutcome(candidate=own)
        else:
            yield from refine_span(own, context)


def _reject_change(candidate: Candidate, span: Span) -> Candidate:
    """Return the part of a candidate in which its face changes, without the checks that the whole of it failed else."""
    checks = (check for check in candidate.checks if check.passed is not False or check.reason in _CHANGES)
    return replace(candidate, span=span, checks=tuple(checks))


def _shorten(candidate: Candidate, span: Span, context: RefiningContext) -> Candidate:
    """Return a part of a candidate, whose length is checked once more, in the last stage that checks it."""
    settings, gates = context.settings, context.settings.gates
    last = scenes.STAGE if gates.silence == "skip" else silence.STAGE
    checks = tuple(check for check in candidate.checks if check.stage != last)
    part = Candidate(span=span, checks=checks, measurements=candidate.measurements)
    if last == silence.STAGE:
        stretch = silence.describe_speech(span, context.audio.cut(span), context.detectors.find_speech)
        own_checks = silence.decide(stretch, settings.silence)
        return part.with_stage(last, stretch.record(), own_checks + gates.undecided_checks(last, own_checks))
    assert context.media.video_track is not None
    measured = scenes.measure(span, context.media.video_track, context.audio)
    return part.with_stage(last, measured.record(), scenes.decide(measured, settings.scenes), gates.scenes)
