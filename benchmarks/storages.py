"""Measure CPU time and bytes of a clip for each storage format and decoder; docs/scaling.md says how many cores feed one H200."""

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
from avf_training.data.ordered_stream import StreamConfig
from avf_training.data.pretraining_sampler import PretrainingSampler
from avf_training.data.stream import ClipStream
from avf_training.models.mask_sampling import paper_masks
from avf_training.models.presets import PRESETS

from benchmarks.stream import step_function
from benchmarks.table import Section, medians
from benchmarks.talkers import ABOUT, FRAMES, encode_stored_clip, encode_with_x264, write_shards

CLIPS = 32
CLIPS_PER_S, CORES = 3700, 16  # AVF-MAE++ B on an H200 at 316 TFLOP/s and 85 GFLOP a clip; cores beside it
NOTE = (
    f"{CLIPS} {ABOUT}; windows of 16 frames at stride 4 with their sound. One thread, CPU time, medians of nine rounds in turn. A "
    f"worker does all of: read, checksums, draws, decode, sound, collation. 16 cores feed an H200 that takes 3,700 clips/s at {1000 * CORES / CLIPS_PER_S:.1f} "
    "ms. The second table measures single parts of that work."
)

CORPUS = 1_359_000
FEEDING_NOTE = (
    f"From the figures above: AVF-MAE++ B at {CLIPS_PER_S:,} clips/s a GPU (an H200 at 316 TFLOP/s, assumed, not measured), one read a clip, a "
    "corpus of 1.36 million clips of 6 s. Nothing is cached; docs/scaling.md says what changes then."
)


@dataclass(frozen=True)
class StorageFormat:
    """A format of stored clips that the stream reads."""

    name: str  # as the table shows it
    encode: Callable[[int], dict[str, bytes]]  # clip number -> suffix -> bytes of the file


FORMATS = (
    StorageFormat("H.264, stride-aligned GOP, 224 px (the default)", encode_stored_clip),
    StorageFormat("H.264, stride-aligned GOP, 192 px", lambda n: encode_stored_clip(n, 192)),
    StorageFormat("H.264, stride-aligned GOP, 160 px", lambda n: encode_stored_clip(n, 160)),
    StorageFormat("packed JPEG, quality 95, 224 px", lambda n: encode_stored_clip(n, 224, 95)),
    StorageFormat("packed JPEG, quality 85, 224 px", lambda n: encode_stored_clip(n, 224, 85)),
    StorageFormat("packed JPEG, quality 85, 160 px", lambda n: encode_stored_clip(n, 160, 85)),
    StorageFormat("H.264, x264's default GOP, 224 px: every frame up to the window's end", encode_with_x264),
)


def run() -> list[Section]:
    model = PRESETS["avfmaepp_b"]
    sampler = PretrainingSampler(model, paper_masks(model))
    rows = [["storage format", "CPU ms a clip", "KB a clip", "cores for 3,700 clips/s"]]
    costs: dict[str, tuple[float, float]] = {}
    parts = [["part", "CPU ms a window", "KB a clip", ""]]
    with tempfile.TemporaryDirectory() as folder:
        streams = [
            ClipStream(
                StreamConfig(
                    shards=write_shards(Path(folder) / str(n), [storage.encode(c) for c in range(CLIPS)]), batch=CLIPS
                ),
                sampler,
            )
            for n, storage in enumerate(FORMATS)
        ]
        works = [step_function(stream) for stream in streams]
        for storage, stream, time_s in zip(FORMATS, streams, medians(works, time.process_time, 9), strict=True):
            ms, kb = 1000 * time_s / CLIPS, _kb([stream.reader.read(clip) for clip in range(CLIPS)])
            rows.append([storage.name, f"{ms:.2f}", f"{kb:.0f}", f"{ms * CLIPS_PER_S / 1000:.1f}"])
            costs[storage.name] = ms, kb
        files = [dict(streams[0].reader.read(clip)) for clip in range(CLIPS)]
    starts = [4 * (n * 5 % 22) for n in range(CLIPS)]
    intra = [encode_with_x264(n, g="1") for n in range(CLIPS)]
    parts_of_worker: list[tuple[str, int, list[dict[str, bytes]], Callable[[], object]]] = [
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
    seconds = medians([work for *_, work in parts_of_worker], time.process_time, 5)
    for (name, windows, clips, _), time_s in zip(parts_of_worker, seconds, strict=True):
        parts.append([name, f"{1000 * time_s / CLIPS / windows:.2f}", f"{_kb(clips):.0f}", ""])
    if not torch.cuda.is_available():
        parts.append(["decode on the GPU by torchcodec", "not measured: no GPU", "", ""])
    return [
        Section("Storages and decoders", NOTE, rows),
        Section("Parts of a worker", "As above.", parts),
        Section("Feeding GPUs, on paper", FEEDING_NOTE, _feeding(costs)),
    ]


def _feeding(costs: dict[str, tuple[float, float]]) -> list[list[str]]:
    rows = [["GPUs", "clips/s", "storage", "cores", "cores a GPU", "network", "reads/s", "corpus"]]
    for gpus in (8, 64, 512):
        for storage in (FORMATS[0], FORMATS[2], FORMATS[5]):
            ms, kb = costs[storage.name]
            clips_per_s = gpus * CLIPS_PER_S
            rows.append(
                [
                    f"{gpus}",
                    f"{clips_per_s:,}",
                    storage.name.removesuffix(" (the default)"),
                    f"{ms * clips_per_s / 1000:,.0f}",
                    f"{ms * CLIPS_PER_S / 1000:.1f}",
                    f"{kb * clips_per_s / 1e6:,.1f} GB/s",
                    f"{clips_per_s:,}",
                    f"{kb * CORPUS / 1e9:.2f} TB",
                ]
            )
    return rows


def _kb(clips: Sequence[dict[str, bytes]]) -> float:
    return sum(len(data) for members in clips for data in members.values()) / len(clips) / 1000


def _each(clips: list[dict[str, bytes]], starts: list[int], decode: Callable[[bytes, list[int]], object]) -> None:
    for files, start in zip(clips, starts, strict=True):
        decode(files["mp4"], list(range(start, start + 64, 4)))


def _off_stride(mp4: bytes, frame_indices: list[int]) -> None:
    decode_planes(mp4, sorted({*frame_indices, frame_indices[0] + 1}))


def _intra(mp4: bytes, frame_indices: list[int]) -> None:
    with av.open(io.BytesIO(mp4), "r") as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        for n, packet in enumerate(container.demux(stream)):
            if n in frame_indices:
                for frame in packet.decode():
                    frame.to_ndarray()
            if n >= frame_indices[-1]:
                break


def _windows(clips: list[dict[str, bytes]], count: int) -> None:
    starts = [(FRAMES - 64) // (count - 1) // 4 * 4 * n for n in range(count)]
    frame_indices = sorted({start + 4 * n for start in starts for n in range(16)})
    for files in clips:
        decode_planes(files["mp4"], frame_indices)
        sound = StoredAudio(files["flac"])
        for start in starts:
            sound.read(start, 64)


def _sample_all(sampler: PretrainingSampler) -> None:
    for position in range(CLIPS):
        sampler.sample("bench", 0, position, FRAMES)
