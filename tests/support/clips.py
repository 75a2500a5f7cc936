"""Shards whose clips can be recognised: white every eighth frame, with a click at the first sample of that frame."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from avf_curation.media.encode import encode_flac, encode_mp4
from avf_curation.pipeline.input_check import input_digest
from avf_curation.pipeline.outcomes import EncodedClip, SpanOutcome, VideoOutcomes
from avf_curation.runs.curation import RunOptions, curate
from avf_curation.sources.types import Video
from avf_curation.stages import scenes
from avf_curation.stages.candidate import Candidate
from avf_shards.packing.pack import pack_shards
from avf_shards.packing.selection import Selection
from avf_shards.schema.ledger import Check
from avf_shards.timeline import Span

from support.curation_runs import EMBEDDED, recipe
from support.stages import single_step

SIZE_PX = 64
LENGTHS = (100, 72, 64, 40)  # frames of a source's videos in turn; the last is shorter than a window


def flashing(frames: int, number: int) -> dict[str, bytes]:
    """The files of one clip; `number` tints its frames."""
    pictures, samples = [], np.zeros(frames * 640, np.int16)
    for t in range(frames):
        picture = np.full((SIZE_PX, SIZE_PX, 3), 235 if t % 8 == 0 else 40 + (number * 37 + 3 * t) % 90, np.uint8)
        picture[: SIZE_PX // 4, : SIZE_PX // 4] = (number * 53) % 200
        pictures.append(picture)
        if t % 8 == 0:
            samples[t * 640 : t * 640 + 4] = 20_000
    return {"mp4": encode_mp4(pictures, replace(recipe().defaults.clip, size_px=SIZE_PX)), "flac": encode_flac(samples)}


def flash_curate(one: Video, root: Path, settings: object, tools: object) -> VideoOutcomes:
    """Stands for curate_video: one flashing clip a video, told by the file's name."""
    number = int(one.path.split(".")[0])
    frames = LENGTHS[number % len(LENGTHS)]
    checks = (Check(stage=scenes.STAGE, reason="too_short", score=frames / 25, operator=">=", threshold=1.5),)
    draft = EncodedClip(media=flashing(frames, number), window_px=300.0, size_px=SIZE_PX, shift_frames=0)
    outcome = SpanOutcome(candidate=Candidate(span=Span(0, frames), checks=checks), clips=(draft,))
    return VideoOutcomes(video=one, outcomes=(outcome,), sha256=input_digest(root / one.path, None))


def flashing_shards(folder: Path, videos: dict[str, int], clips_per_shard: int = 4) -> Path:
    """A folder of packed shards with so many clips of each source."""
    sources = {}
    for source, count in videos.items():
        sources[source] = folder / "in" / source
        sources[source].mkdir(parents=True)
        for number in range(count):
            (sources[source] / f"{number:03d}.mp4").write_bytes(f"{source} {number}".encode())
    run = curate(
        recipe(), EMBEDDED, sources, folder / "run", RunOptions(engine="inline", stages=single_step(flash_curate))
    )
    pack_shards(run, folder / "shards", Selection(clips_per_shard=clips_per_shard))
    return folder / "shards"
