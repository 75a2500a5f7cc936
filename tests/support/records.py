"""Records of clips, made without a run."""

import hashlib

from avf_shards.schema.clip_record import ClipRecord
from avf_shards.timeline import Span


def make_clip_record(key: str, speaker: str | None = None) -> ClipRecord:
    """Return the record of a clip without checks and measurements."""
    source, video, start, stop, track = key.split("-")
    return ClipRecord(
        key=key,
        source=source,
        video_id="a.mp4",
        group_id="a.mp4",
        path="a.mp4",
        span=Span(int(start), int(stop)),
        track=int(track),
        speaker=speaker,
        language=None,
        window_px=300.0,
        size_px=224,
        av_offset_ms=0,
        input_sha256=hashlib.sha256(f"{source} {video}".encode()).hexdigest(),
        input_bytes=1,
        fingerprint="f" * 16,
        backends={},
        checks=(),
    )
