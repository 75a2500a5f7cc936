"""Curation results without any measurement, for tests of the steps that follow the stages."""

import functools
import os
import signal
from pathlib import Path

from avf_curation.detectors.detector_set import BackendSelection
from avf_curation.pipeline.input_check import input_digest
from avf_curation.pipeline.outcomes import EncodedClip, SpanOutcome, VideoOutcomes
from avf_curation.recipe import Recipe, load_recipe
from avf_curation.sources.types import Video
from avf_curation.stages import quality, scenes
from avf_curation.stages.candidate import Candidate
from avf_shards.format.run_identity import RunIdentity
from avf_shards.schema.ledger import Check
from avf_shards.timeline import Span

EMBEDDED = BackendSelection(track="dlib", sync="envelope", weights={})
IDENTITY = RunIdentity(
    fingerprint="f" * 16,
    settings=load_recipe().values,
    backends=EMBEDDED.names(),
    device="cpu",
    weights={},
    versions={},
    sources=("made",),
)


#: Settings that take EMBEDDED's backends, whatever is installed.
EMBEDDED_SETTINGS = ("faces.backend=dlib", "sync.backend=envelope")


@functools.cache
def make_recipe(*overrides: str) -> Recipe:
    """Return the default recipe with these settings changed, EMBEDDED's backends, and units as large as they say."""
    return load_recipe(None, ["plan.min_units=1", *EMBEDDED_SETTINGS, *overrides])


def make_source_video(name: str, source: str = "made", group_id: str | None = None, size: int = 10) -> Video:
    return Video(source=source, video_id=name, group_id=group_id or name, path=name, size_bytes=size, mtime_ns=1)


def kept_span(start: int, stop: int, text: str = "x") -> SpanOutcome:
    """Return a span that passes all checks; its media bytes depend only on the arguments."""
    checks = (
        Check(stage=scenes.STAGE, reason="too_short", score=(stop - start) / 25, operator=">=", threshold=1.5),
        Check(stage="sync", reason="low_confidence", score=5.0, operator=">=", threshold=3.0),
        Check(stage=quality.STAGE, reason="blurred", score=None, operator=">=", threshold=20.0),
    )
    media = {"mp4": f"mp4 {text} {start}".encode() * 50, "flac": f"flac {text} {stop}".encode() * 20}
    return SpanOutcome(
        candidate=Candidate(span=Span(start, stop), checks=checks),
        clips=(EncodedClip(media=media, window_px=300.0, size_px=224, shift_frames=0),),
    )


def rejected_span(start: int, stop: int) -> SpanOutcome:
    return SpanOutcome(
        candidate=Candidate(
            span=Span(start, stop),
            checks=(Check(stage="faces", reason="no_face", score=1.0, operator="<=", threshold=0.4),),
        )
    )


def stub_curate(video: Video, root: Path, settings: object, tools: object) -> VideoOutcomes:
    """Replace `curate_video`: return two clips and a rejected span that depend only on the file's name and bytes."""
    path = root / video.path
    outcomes = (kept_span(0, 50, video.video_id), rejected_span(50, 80), kept_span(80, 140, video.video_id))
    return VideoOutcomes(video=video, outcomes=outcomes, sha256=input_digest(path, None))


def poison_curate(video: Video, root: Path, settings: object, tools: object) -> VideoOutcomes:
    """Curate like `stub_curate`, but crash on 001.mp4, run out of memory on 003.mp4 and never end on 005.mp4."""
    if video.path == "001.mp4":
        os.kill(os.getpid(), signal.SIGSEGV)
    if video.path == "003.mp4":
        memory = [bytearray(b"x" * 50_000_000) for _ in range(45)]
        os.kill(os.getpid(), signal.SIGKILL if memory else 0)  # as the kernel does when memory runs out
    while video.path == "005.mp4":
        pass
    return stub_curate(video, root, settings, tools)
