"""The record of a clip, `KEY.json`: where it comes from and every score on the way."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from avf_shards.schema.ledger import Check
from avf_shards.timeline import Span


@dataclass(frozen=True, kw_only=True)
class ClipRecord:
    """What a reader needs to know about a clip, and an auditor to follow it back to its input.

    `window` is the crop's side in source pixels and its centre per frame is `measurements`' business; `av_offset_ms` is
    the shift already applied to the stored sound (positive: sound moved later): readers never apply it. `start_s`: of
    the video in its file, where it is a part of one. `origin`: what the corpus' owners say of where it was cut from;
    `labels`: what they say is in it (values, subject, session, folds).
    """

    key: str
    source: str
    video_id: str
    group_id: str
    path: str
    span: Span
    track: int
    speaker: str | None
    language: str | None
    window_px: float
    size_px: int
    av_offset_ms: int
    input_sha256: str
    input_bytes: int
    fingerprint: str
    backends: dict[str, str]
    checks: tuple[Check, ...]
    measurements: dict[str, Any] = field(default_factory=dict)
    start_s: float | None = None
    origin: dict[str, Any] | None = None
    labels: dict[str, Any] | None = None

    def to_json(self) -> bytes:
        """Sorted keys, UTF-8, one trailing newline: the same record gives the same bytes."""
        values = asdict(self)
        if self.labels is None:  # most clips have none, and say nothing of it
            del values["labels"]
        values["checks"] = [asdict(check) | {"passed": check.passed} for check in self.checks]
        values["fps"], values["sample_rate_hz"] = 25, 16_000
        values["seconds"] = self.span.seconds
        return (json.dumps(values, sort_keys=True, ensure_ascii=False) + "\n").encode()
