"""CPU milliseconds and bytes of a clip for every way to store and decode it; what feeds one H200 (docs/scaling.md)."""

import io
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import torch
from avf_training.data.benchmark import torchcodec_decoders
from avf_training.data.decode import StoredAudio, decode_planes
from avf_training.data.pretraining import PretrainingSampler
from avf_training.data.stream import ClipStream, StreamConfig
from avf_training.models.masking import paper_masks
from avf_training.models.presets import PRESETS

from benchmarks.stream import steps
from benchmarks.table import Section, medians
from benchmarks.talkers import ABOUT, FRAMES, by_x264, shards_of, stored

CLIPS = 32
CLIPS_PER_S, CORES = 3700, 16  # AVF-MAE++ B on an H200 at 316 TFLOP/s and 85 GFLOP a clip; cores beside it
NOTE = (
    f"{CLIPS} {ABOUT}; windows of 16 frames at stride 4 with their sound. One thread, CPU time, medians of nine rounds in turn. A whole "
    f"worker: read, checksums, draws, decode, sound, collation. 16 cores feed an H200 that takes 3,700 clips/s at {1000 * CORES / CLIPS_PER_S:.1f} "
    "ms. The rows below it are of the part that they name alone."
)

CORPUS = 1_359_000
FEEDING_NOTE = (
    f"From the figures above: AVF-MAE++ B at {CLIPS_PER_S:,} clips/s a GPU (an H200 at 316 TFLOP/s, assumed, not measured), one read a clip, a "
    "corpus of 1.36 million clips of 6 s. Nothing is cached; docs/scaling.md says what changes then."
)


@dataclass(frozen=True)
class Way:
    """One way to store clips, and to read them with the stream as it is."""

    name: str
    store: Callable[[int], dict[str, bytes]]


WAYS = (
    Way("H.264, stride-aligned GOP, 224 px (the default)", stored),
    Way("H.264, stride-aligned GOP, 192 px", lambda n: stored(n, 192)),
    Way("H.264, stride-aligned GOP, 160 px", lambda n: stored(n, 160)),
    Way("packed JPEG, quality 95, 224 px", lambda n: stored(n, 224, 95)),
    Way("packed JPEG, quality 85, 224 px", lambda n: stored(n, 224, 85)),
    Way("packed JPEG, quality 85, 160 px", lambda n: stored(n, 160, 85)),
    Way("H.264, x264's default GOP, 224 px: every frame up to the window's end", by_x264),
)


def run() -> list[Section]:
    model = PRESETS["avfmaepp_b"]
    sampler = PretrainingSampler(model, paper_masks(model))
    rows = [["a whole worker", "CPU ms a clip", "KB a clip", "cores for 3,700 clips/s"]]
    costs: dict[str, tuple[float, float]] = {}
    parts = [["a part", "CPU ms a window", "KB a clip", ""]]
    with tempfile.TemporaryDirectory() as folder:
        streams = [
            ClipStream(
                StreamConfig(
                    shards=shards_of(Path(folder) / str(n), [way.store(c) for c in range(CLIPS)]), batch=CLIPS
                ),
                sampler,
            )
            for n, way in enumerate(WAYS)
        ]
        works = [steps(stream) for stream in streams]
        for way, stream, time_s in zip(WAYS, streams, medians(works, time.process_time, 9), strict=True):
            ms, kb = 1000 * time_s / CLIPS, _kb([stream.reader.read(clip) for clip in range(CLIPS)])
            rows.append([way.name, f"{ms:.2f}", f"{kb:.0f}", f"{ms * CLIPS_PER_S / 1000:.1f}"])
            costs[way.name] = ms, kb
        files = [dict(streams[0].reader.read(clip)) for clip in range(CLIPS)]
    starts = [4 * (n * 5 % 22) for n in range(CLIPS)]
    intra = [by_x264(n, g="1") for n in range(CLIPS)]
    ways: list[tuple[str, int, list[dict[str, bytes]], Callable[[], object]]] = [
        ("decode, reference frames of the stride-aligned GOP", 1, files, lambda: _each(files, starts, decode_planes)),
        ("decode, all frames of the stride-aligned GOP", 1, files, lambda: _each(files, starts, _off_stride)),
        ("decode, only the wanted frames of an all-intra H.264", 1, intra, lambda: _each(intra, starts, _intra)),
        ("sound", 1, files, lambda: [StoredAudio(f["flac"]).read(s, 64) for f, s in zip(files, starts, strict=True)]),
        ("two windows in one decode, with their sound", 2, files, lambda: _windows(files, 2)),
        ("three windows in one decode, with their sound", 3, files, lambda: _windows(files, 3)),
        (
            "draws alone: another mask, crop and gain of a window already decoded",
            1,
            files,
            lambda: _sample_all(sampler),
        ),
        *((name, 1, files, work) for name, work in torchcodec_decoders(files, [range(s, s + 64, 4) for s in starts])),
    ]
    seconds = medians([work for *_, work in ways], time.process_time, 5)
    for (name, windows, clips, _), time_s in zip(ways, seconds, strict=True):
        parts.append([name, f"{1000 * time_s / CLIPS / windows:.2f}", f"{_kb(clips):.0f}", ""])
    if not torch.cuda.is_available():
        parts.append(["decode on the GPU by torchcodec", "not measured: no GPU here", "", ""])
    return [
        Section("Storages and decoders", NOTE, rows),
        Section("Parts of a worker", "As above.", parts),
        Section("Feeding GPUs, on paper", FEEDING_NOTE, _feeding(costs)),
    ]


def _feeding(costs: dict[str, tuple[float, float]]) -> list[list[str]]:
    rows = [["GPUs", "clips/s", "storage", "cores", "cores a GPU", "network", "reads/s", "corpus"]]
    for gpus in (8, 64, 512):
        for way in (WAYS[0], WAYS[2], WAYS[5]):
            ms, kb = costs[way.name]
            clips_per_s = gpus * CLIPS_PER_S
            rows.append(
                [
                    f"{gpus}",
                    f"{clips_per_s:,}",
                    way.name.removesuffix(" (the default)"),
                    f"{ms * clips_per_s / 1000:,.0f}",
                    f"{ms * CLIPS_PER_S / 1000:.1f}",
                    f"{kb * clips_per_s / 1e6:,.1f} GB/s",
                    f"{clips_per_s:,}",
                    f"{kb * CORPUS / 1e9:.2f} TB",
                ]
            )
    return rows


def _kb(clips: Sequence[dict[str, bytes]]) -> float:
    return sum(len(data) for one in clips for data in one.values()) / len(clips) / 1000


def _each(clips: list[dict[str, bytes]], starts: list[int], decode: Callable[[bytes, list[int]], object]) -> None:
    for files, start in zip(clips, starts, strict=True):
        decode(files["mp4"], list(range(start, start + 64, 4)))


def _off_stride(mp4: bytes, wanted: list[int]) -> None:
    decode_planes(mp4, sorted({*wanted, wanted[0] + 1}))


def _intra(mp4: bytes, wanted: list[int]) -> None:
    with av.open(io.BytesIO(mp4)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        for n, packet in enumerate(container.demux(stream)):
            if n in wanted:
                for frame in packet.decode():
                    frame.to_ndarray()
            if n >= wanted[-1]:
                break


def _windows(clips: list[dict[str, bytes]], count: int) -> None:
    starts = [(FRAMES - 64) // (count - 1) // 4 * 4 * n for n in range(count)]
    wanted = sorted({start + 4 * n for start in starts for n in range(16)})
    for files in clips:
        decode_planes(files["mp4"], wanted)
        sound = StoredAudio(files["flac"])
        for start in starts:
            sound.read(start, 64)


def _sample_all(sampler: PretrainingSampler) -> None:
    for position in range(CLIPS):
        sampler.sample("bench", 0, position, FRAMES)
