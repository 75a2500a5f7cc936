"""Ledgers with given scores, made without a run."""

import pyarrow as pa
from avf_shards.schema.ledger import Check, Decision, decisions_to_table
from avf_shards.timeline import Span


def make_ledger(scores: dict[str, list[float | None]], speakers: int = 0) -> pa.Table:
    """Return a ledger with a kept clip for each score of each source; the speaker of clip n is n modulo `speakers`."""
    decisions = []
    for source, values in scores.items():
        for number, score in enumerate(values):
            name = f"v{number:03d}"
            decisions.append(
                Decision(
                    source=source,
                    video_id=name,
                    group_id=name,
                    path=name,
                    span=Span(0, 50),
                    status="kept",
                    input_sha256=f"{source}{number}",
                    speaker=f"s{number % speakers}" if speakers else None,
                    clips=(f"{source}-{number:012x}-0000000-0000050-0",),
                    checks=(
                        Check(stage="sync", reason="low_confidence", score=score, operator=">=", threshold=3.0),
                        Check(stage="faces", reason="no_face", score=0.0, operator="<=", threshold=0.4),
                    ),
                )
            )
    return decisions_to_table(decisions)
