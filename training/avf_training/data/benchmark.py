"""What one core makes of a user's own shards: read, decode, sound, transform; and how many cores feed one GPU."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch

from avf_training.data.decode import StoredSound, jpeg_planes, planes
from avf_training.data.pretraining import PretrainingParams, PretrainingSampler, pretraining_input
from avf_training.data.storage import StorageConfig
from avf_training.data.stream import ClipStream, StreamConfig
from avf_training.data.windows import STRIDE
from avf_training.models.masking import paper_masks
from avf_training.models.presets import preset

_ROUNDS = 3
_Files = list[dict[str, bytes]]


@dataclass(frozen=True, kw_only=True)
class CostPart:
    """CPU milliseconds of one part for one clip. where: worker, device (a GPU would do it) or other (not used)."""

    name: str
    ms: float
    where: str = "worker"


@dataclass(frozen=True, kw_only=True)
class StreamCost:
    """kb: stored bytes of a clip. worker_ms: CPU milliseconds of a clip in whole batches, all of a worker's parts."""

    clips: int
    kb: float
    worker_ms: float
    parts: tuple[CostPart, ...]

    def cores(self, step_s: float, batch: int) -> float:
        """Cores that keep one GPU busy which makes a step of `batch` clips in `step_s`."""
        return self.worker_ms / 1000 * batch / step_s

    def bound_by(self) -> CostPart:
        """The part that costs a worker most."""
        return max((part for part in self.parts if part.where == "worker"), key=lambda part: part.ms)


def stream_cost(shards: Path | str, clips: int, model: str, storage: StorageConfig) -> StreamCost:
    """Time the parts over `clips` clips of the stream's own order, one thread, median of three rounds."""
    torch.set_num_threads(1)
    config = preset(model)
    draws = PretrainingSampler(config, paper_masks(config))
    step = min(clips, 16)
    stream = ClipStream(StreamConfig(shards=shards, batch=step, storage=storage), draws)
    order, reader, frames = stream.order, stream.reader, config.geometry.frames
    chosen = [int(clip) for clip in order.at(0, clips)[0]]
    files = [dict(reader.read(clip)) for clip in chosen]
    drawn = [draws.draw(order.digest, 0, n, StoredSound(one["flac"]).frames) for n, one in enumerate(files)]
    batches = list(islice(stream, -(-clips // step)))

    def sound() -> None:
        for one, draw in zip(files, drawn, strict=True):
            StoredSound(one["flac"]).cut(draw.start_frame, frames * STRIDE)

    works: list[tuple[str, str, Callable[[], object]]] = [
        ("read and check", "worker", lambda: [reader.read(clip) for clip in chosen]),
        ("draw windows, crops, masks", "worker", lambda: [draws.draw("x", 0, n, 100) for n in range(clips)]),
        *_decoders(files, drawn),
        ("sound", "worker", sound),
        ("colour, crop, fbank", "device", lambda: [pretraining_input(batch, config.geometry) for batch in batches]),
    ]
    parts = tuple(CostPart(name=name, ms=1000 * _median_s(work) / clips, where=where) for name, where, work in works)
    made = sum(len(batch) for batch in batches)
    stream.slots = 2  # as in a worker, which fills the same memory again
    parts_made = iter(stream)
    for _ in range(stream.slots):
        next(parts_made)

    def whole() -> None:
        for _ in batches:
            next(parts_made)

    whole_s = _median_s(whole)
    kb = sum(len(data) for one in files for data in one.values()) / clips / 1000
    return StreamCost(clips=clips, kb=kb, worker_ms=1000 * whole_s / made, parts=parts)


def _decoders(files: _Files, drawn: Sequence[PretrainingParams]) -> list[tuple[str, str, Callable[[], object]]]:
    """Every way there is here to decode the windows drawn."""
    pairs = list(zip(files, drawn, strict=True))
    if "frames" in files[0]:
        return [("decode, packed JPEG", "worker", lambda: [jpeg_planes(f["frames"], d.frames) for f, d in pairs])]

    def all_frames() -> None:
        for one, draw in pairs:
            planes(one["mp4"], sorted({*draw.frames, draw.frames[0] + 1}))  # one index off the stride

    found: list[tuple[str, str, Callable[[], object]]] = [
        ("decode, reference frames", "worker", lambda: [planes(f["mp4"], d.frames) for f, d in pairs]),
        ("decode, all frames", "other", all_frames),
    ]
    by_torchcodec = torchcodec_works([one for one, _ in pairs], [draw.frames for _, draw in pairs])
    return [*found, *((name, "other", work) for name, work in by_torchcodec)]


def torchcodec_works(files: _Files, wanted: Sequence[Sequence[int]]) -> list[tuple[str, Callable[[], object]]]:
    """Decoding with torchcodec on each device, where it is installed with the FFmpeg libraries it needs."""
    try:
        from torchcodec.decoders import VideoDecoder
    except (ImportError, OSError, RuntimeError):
        return []
    found: list[tuple[str, Callable[[], object]]] = []
    for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):

        def decode(device: str = device) -> None:
            for one, frames in zip(files, wanted, strict=True):
                VideoDecoder(one["mp4"], device=device, seek_mode="approximate").get_frames_at(list(frames))

        found.append((f"decode, torchcodec on {device}", decode))
    return found


def _median_s(work: Callable[[], object]) -> float:
    times = []
    for _ in range(_ROUNDS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)
