"""Scores that could not be measured: which checks of a span are undecided, and the check that rejects such a span.

A score of None is neither a pass nor a rejection. A span is searched for a watermark twice, alone and with the other
spans of its group; the watermark is undecided only where neither search could tell.
"""

from collections.abc import Iterable

from avf_shards.schema.ledger import Check

UNDECIDED = "undecided"  # reason of a rejection where a recipe has gates.undecided.STAGE: reject
WATERMARK, POOLED = "watermark", "watermark_pooled"
STAGES_WITH_UNDECIDED = ("faces", "silence", "speaker", "sync", "quality")  # the other stages measure every span


def undecided_reasons(checks: Iterable[Check]) -> list[str]:
    """Return the reasons of the checks of one stage that could not be measured."""
    scores = {check.reason: check.score for check in checks}
    open_reasons = [reason for reason, score in scores.items() if score is None]
    marks = [reason for reason in (WATERMARK, POOLED) if reason in scores]
    if any(scores[reason] is not None for reason in marks):
        return [reason for reason in open_reasons if reason not in marks]
    return [reason for reason in open_reasons if reason not in marks[1:]]


def make_undecided_check(stage: str, checks: Iterable[Check]) -> Check:
    """Return the check that fails where one of `checks`, those of a stage, could not be measured."""
    count = len(undecided_reasons(checks))
    return Check(
        stage=stage, reason=UNDECIDED, score=count, operator="<=", threshold=0, setting=f"gates.undecided.{stage}"
    )
