"""Benchmark of the stream on a user's own shards: CPU time of reading, decoding and transforming, and cores per GPU."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import torch

from avf_training.data.decode import StoredAudio, decode_jpeg_planes, decode_planes
from avf_training.data.ordered_stream import StreamConfig
from avf_training.data.pretraining_sampler import (
    PretrainingBatch,
    PretrainingParams,
    PretrainingSampler,
    pretraining_input,
)
from avf_training.data.storage import StorageConfig
from avf_training.data.stream import ClipStream
from avf_training.data.window_length import STRIDE
from avf_training.models.mask_sampling import paper_masks
from avf_training.models.presets import preset

_ROUNDS = 3  # the median of which is reported
_BATCH = 16
Runner = Literal["worker", "device", "other"]  # a worker process, the device (a GPU in training), or not used
TimedCall = Callable[[], object]
_Files = list[dict[str, bytes]]


@dataclass(frozen=True, kw_only=True)
class CostPart:
    """CPU time that one part of the work costs per clip."""

    name: str  # what is done
    ms: float  # CPU milliseconds a clip
    runs_on: Runner = "worker"  # what does it in training


@dataclass(frozen=True, kw_only=True)
class StreamCost:
    """CPU time that clips of the given shards cost."""

    clips: int  # measured
    stored_kb: float  # mean stored size of a clip
    worker_ms: float  # CPU milliseconds of a worker per clip, measured on full batches
    parts: tuple[CostPart, ...]  # in the order of the work

    def cores_needed(self, step_s: float, batch: int) -> float:
        """Return the cores that keep one GPU busy which computes a step of `batch` clips in `step_s` seconds."""
        return self.worker_ms / 1000 * batch / step_s

    def bottleneck(self) -> CostPart:
        """Return the part that costs a worker most."""
        return max((part for part in self.parts if part.runs_on == "worker"), key=lambda part: part.ms)


def measure_stream_cost(shards: Path | str, clips: int, model: str, storage: StorageConfig) -> StreamCost:
    """Time the parts over `clips` clips in the order of the stream, on one thread; the median of three rounds."""
    torch.set_num_threads(1)
    config = preset(model)
    sampler = PretrainingSampler(config, paper_masks(config))
    batch_clips = min(clips, _BATCH)
    stream = ClipStream(StreamConfig(shards=shards, batch=batch_clips, storage=storage), sampler)
    order, reader, frames = stream.order, stream.reader, config.geometry.frames
    numbers = [int(clip) for clip in order.clips_between(0, clips)[0]]
    files = [dict(reader.read(clip)) for clip in numbers]
    params = [
        sampler.sample(order.digest, 0, n, StoredAudio(clip_files["flac"]).frames) for n, clip_files in enumerate(files)
    ]
    batches = list(islice(stream, -(-clips // batch_clips)))

    def read_audio() -> None:
        for clip_files, clip in zip(files, params, strict=True):
            StoredAudio(clip_files["flac"]).read(clip.start_frame, frames * STRIDE)

    timed_calls: list[tuple[str, Runner, TimedCall]] = [
        ("read and check", "worker", lambda: [reader.read(clip) for clip in numbers]),
        ("draw windows, crops, masks", "worker", lambda: [sampler.sample("x", 0, n, 100) for n in range(clips)]),
        *_decoders(files, params),
        ("sound", "worker", read_audio),
        ("colour, crop, fbank", "device", lambda: [pretraining_input(batch, config.geometry) for batch in batches]),
    ]
    parts = tuple(
        CostPart(name=name, ms=1000 * _median_cpu_s(call) / clips, runs_on=runs_on)
        for name, runs_on, call in timed_calls
    )
    return StreamCost(
        clips=clips,
        stored_kb=sum(len(data) for clip_files in files for data in clip_files.values()) / clips / 1000,
        worker_ms=1000 * _full_batches_cpu_s(stream, len(batches)) / sum(len(batch) for batch in batches),
        parts=parts,
    )


def _full_batches_cpu_s(stream: ClipStream[PretrainingParams, PretrainingBatch], batches: int) -> float:
    """Return the CPU seconds of so many batches as a worker makes them."""
    stream.buffers = 2  # a worker fills the same memory again, which costs less than new memory
    iterator = iter(stream)
    for _ in range(stream.buffers):
        next(iterator)

    def make_batches() -> None:
        for _ in range(batches):
            next(iterator)

    return _median_cpu_s(make_batches)


def _decoders(files: _Files, params: Sequence[PretrainingParams]) -> list[tuple[str, Runner, TimedCall]]:
    """Return every decoder that can be measured on the sampled windows."""
    pairs = list(zip(files, params, strict=True))
    if "frames" in files[0]:
        return [
            ("decode, packed JPEG", "worker", lambda: [decode_jpeg_planes(f["frames"], p.frames) for f, p in pairs])
        ]

    def decode_all_frames() -> None:
        for clip_files, clip in pairs:
            # One index off the stride makes the decoder take the full decode.
            decode_planes(clip_files["mp4"], sorted({*clip.frames, clip.frames[0] + 1}))

    decoders: list[tuple[str, Runner, TimedCall]] = [
        ("decode, reference frames", "worker", lambda: [decode_planes(f["mp4"], p.frames) for f, p in pairs]),
        ("decode, all frames", "other", decode_all_frames),
    ]
    torchcodec = torchcodec_decoders(files, [clip.frames for clip in params])
    return [*decoders, *((name, "other", task) for name, task in torchcodec)]


def torchcodec_decoders(files: _Files, indices: Sequence[Sequence[int]]) -> list[tuple[str, TimedCall]]:
    """Return decoding by torchcodec on each device; nothing where it or the FFmpeg libraries it needs are missing."""
    try:
        from torchcodec.decoders import VideoDecoder
    except (ImportError, OSError, RuntimeError):
        return []
    decoders: list[tuple[str, TimedCall]] = []
    for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):

        def decode(device: str = device) -> None:
            for clip_files, frames in zip(files, indices, strict=True):
                decoder = VideoDecoder(clip_files["mp4"], device=device, seek_mode="approximate")
                decoder.get_frames_at(list(frames))

        decoders.append((f"decode, torchcodec on {device}", decode))
    return decoders


def _median_cpu_s(call: TimedCall) -> float:
    times = []
    for _ in range(_ROUNDS):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return statistics.median(times)
