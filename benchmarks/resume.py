"""Measure the stream's order and its resume over 1.36 million clips, and the memory of a worker."""

import gc
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from avf_shards.format.corpus import load_corpus
from avf_shards.format.index import sidecar_path
from avf_shards.format.run_folder import PackedClip, write_part
from avf_shards.packing.pack import list_shard
from avf_shards.sampling.mixture import Mixture
from avf_shards.sampling.stream_order import StreamOrder
from avf_shards.schema.clip_key import make_clip_key
from avf_shards.timeline import FRAMES_PER_SECOND, Span
from avf_training.data.loader import StreamLoader
from avf_training.data.ordered_stream import StreamConfig
from avf_training.data.pretraining_sampler import PretrainingSampler
from avf_training.data.stream import ClipStream
from avf_training.models.mask_sampling import paper_masks
from avf_training.models.presets import PRESETS

from benchmarks.scale import QUOTAS
from benchmarks.table import Section
from benchmarks.talkers import FRAMES, encode_stored_clip

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.shard_folders import write_manifest

CLIPS_PER_SHARD, DISTINCT_CLIPS, ROUNDS = 512, 8, 5
NOTE = (
    f"The paper's five sources, {sum(QUOTAS.values()):,} clips in shards of {CLIPS_PER_SHARD} (one shard of {DISTINCT_CLIPS} different drawn speakers under as many names "
    f"as it takes). Medians of {ROUNDS}. Resume: from a loaded state in the middle of the fourth epoch, in a process that has everything "
    "imported, to the first batch of 24 in hand, with two workers. Memory: after 12 steps of 164 clips; its own memory is what it does not share "
    "with the trainer's process that it was forked from (Linux's USS); the shared memory holds the batches that it makes for the trainer."
)


def run() -> list[Section]:
    model = PRESETS["avfmaepp_b"]
    sampler = PretrainingSampler(model, paper_masks(model))
    with tempfile.TemporaryDirectory() as folder:
        shards = _corpus(Path(folder))
        load_s = _median(lambda: load_corpus(shards))
        corpus = load_corpus(shards)
        order_s = _median(lambda: StreamOrder(corpus, Mixture(), 0).epoch(3))
        state = StreamLoader(ClipStream(StreamConfig(shards=shards, batch=24), sampler)).state_dict() | {
            "epoch": 3,
            "position": 600_000,
        }

        def resume() -> None:
            loader = StreamLoader(ClipStream(StreamConfig(shards=shards, batch=24), sampler), workers=2)
            loader.load_state_dict(state)
            next(iter(loader))

        resume_s = _median(resume)
        memory = {
            n: _worker_mb(StreamLoader(ClipStream(StreamConfig(shards=shards, batch=164), sampler), workers=n))
            for n in (2, 8)
        }
    rows = [
        ["measured", "figure", "target"],
        [f"read the manifest of {len(corpus.shards):,} shards", f"{load_s:.2f} s", ""],
        ["the order of one epoch, nothing cached", f"{order_s:.2f} s", "0.2 s"],
        ["resume to the first batch", f"{resume_s:.2f} s", "2 s"],
        *(
            [
                f"memory of one of {n} workers: its own {private_mb:.0f}, shared with the trainer {shared_mb:.0f}",
                f"{private_mb + shared_mb:.0f} MB",
                "400 MB",
            ]
            for n, (private_mb, shared_mb) in memory.items()
        ),
    ]
    return [Section("Order, resume, memory", NOTE, rows)]


def _corpus(folder: Path) -> Path:
    members = [encode_stored_clip(n) for n in range(DISTINCT_CLIPS)]
    for n in range(CLIPS_PER_SHARD):
        members[n % DISTINCT_CLIPS]["json"] = b"{}\n"
    packed = [
        PackedClip(
            key=make_clip_key("made", str(n), Span(0, FRAMES), 0),
            source="made",
            frames=FRAMES,
            members=members[n % DISTINCT_CLIPS],
        )
        for n in range(CLIPS_PER_SHARD)
    ]
    shard_0 = folder / "made-000000.tar"
    write_part(folder, shard_0.name, packed)
    entry, entries = list_shard(shard_0), []
    for source, quota in QUOTAS.items():
        for number in range(-(-quota // CLIPS_PER_SHARD)):
            clips = min(CLIPS_PER_SHARD, quota - number * CLIPS_PER_SHARD)
            shard = folder / f"{source}-{number:06d}.tar"
            os.link(shard_0, shard)
            os.link(sidecar_path(shard_0), sidecar_path(shard))
            entries.append(
                replace(
                    entry,
                    shard=shard.name,
                    clips={source: clips},
                    seconds={source: clips * FRAMES / FRAMES_PER_SECOND},
                )
            )
    write_manifest(folder, entries)
    return folder


def _median(work: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        gc.collect()
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _worker_mb(loader: StreamLoader[Any]) -> tuple[float, float]:
    """Return the private megabytes of the largest worker, and the megabytes that it shares with the trainer."""
    stream = iter(loader)
    for _ in range(12):
        next(stream)
    private = max(process.memory_full_info().uss for process in psutil.Process().children())
    part_bytes = 16 * 16 * 336 * 224
    return private / 1e6, loader.stream.buffers * part_bytes / 1e6
