"""Synthetic shards: every eighth frame of a clip is white, and a click sounds at the first sample of that frame."""

import functools
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
from avf_curation.media.encode import encode_flac, encode_mp4
from avf_curation.pipeline.input_check import input_digest
from avf_curation.pipeline.outcomes import EncodedClip, SpanOutcome, VideoOutcomes
from avf_curation.runs import identity
from avf_curation.runs.curation import RunOptions, curate
from avf_curation.sources.types import Video
from avf_curation.stages import scenes
from avf_curation.stages.candidate import Candidate
from avf_shards.packing.pack import pack_shards
from avf_shards.packing.selection import Selection
from avf_shards.schema.ledger import Check
from avf_shards.timeline import Span

from support.curation_runs import EMBEDDED, make_recipe
from support.stages import CurateVideo, single_step

SIZE_PX = 64
VIDEO_FRAMES = (100, 72, 64, 40)  # lengths that the videos of a source take in turn; the last is shorter than a window


@functools.cache
def encode_flashing_clip(frames: int, number: int) -> dict[str, bytes]:
    """Return the mp4 and FLAC files of a clip by their extension; `number` sets the tint of its frames."""
    frames_bgr, samples = [], np.zeros(frames * 640, np.int16)
    for t in range(frames):
        frame = np.full((SIZE_PX, SIZE_PX, 3), 235 if t % 8 == 0 else 40 + (number * 37 + 3 * t) % 90, np.uint8)
        frame[: SIZE_PX // 4, : SIZE_PX // 4] = (number * 53) % 200
        frames_bgr.append(frame)
        if t % 8 == 0:
            samples[t * 640 : t * 640 + 4] = 20_000
    return {
        "mp4": encode_mp4(frames_bgr, replace(make_recipe().defaults.clip, size_px=SIZE_PX)),
        "flac": encode_flac(samples),
    }


def curate_flashing_clip(video: Video, root: Path, settings: object, tools: object) -> VideoOutcomes:
    """Replace `curate_video`: return one flashing clip for each video; the number in the file name chooses the clip."""
    number = int(video.path.split(".")[0])
    frames = VIDEO_FRAMES[number % len(VIDEO_FRAMES)]
    checks = (Check(stage=scenes.STAGE, reason="too_short", score=frames / 25, operator=">=", threshold=1.5),)
    draft = EncodedClip(media=encode_flashing_clip(frames, number), window_px=300.0, size_px=SIZE_PX, shift_frames=0)
    outcome = SpanOutcome(candidate=Candidate(span=Span(0, frames), checks=checks), clips=(draft,))
    return VideoOutcomes(video=video, outcomes=(outcome,), sha256=input_digest(root / video.path, None))


def make_flashing_shards(folder: Path, videos: dict[str, int], clips_per_shard: int = 4) -> Path:
    """Pack shards with the given number of clips of each source; return their folder."""
    sources = {}
    for source, count in videos.items():
        sources[source] = folder / "in" / source
        sources[source].mkdir(parents=True)
        for number in range(count):
            (sources[source] / f"{number:03d}.mp4").write_bytes(f"{source} {number}".encode())
    return pack_drawn_clips(folder, sources, curate_flashing_clip, clips_per_shard)


def pack_drawn_clips(folder: Path, sources: dict[str, Path], curate_video: CurateVideo, clips_per_shard: int) -> Path:
    """Curate the sources with a function that draws clips, and pack them; return the folder of the shards.

    The order of their stream is the same for every version of the code, which is part of a run's fingerprint.
    """
    with mock.patch.object(identity, "code_digests", return_value={}):
        options = RunOptions(engine="inline", stages=single_step(curate_video))
        run = curate(make_recipe(), EMBEDDED, sources, folder / "run", options)
    pack_shards(run, folder / "shards", Selection(clips_per_shard=clips_per_shard))
    return folder / "shards"
