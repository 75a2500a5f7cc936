"""What one core makes of a user's own shards: read, decode, sound, transform; and how many cores feed one GPU."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from avf_shards.corpus import load_corpus
from avf_shards.mix import Mix
from avf_shards.order import Order

from avf_training.data.decode import STRIDE, frame_count, planes, sound, window_frames
from avf_training.data.draws import Draw, draw_pretraining
from avf_training.data.reader import ClipReader
from avf_training.data.transforms import audio_input, video_input
from avf_training.masking import Masker, paper_masks
from avf_training.models.presets import preset

_BATCH, _ROUNDS = 8, 3


@dataclass(frozen=True)
class Part:
    """CPU milliseconds of one part for one clip; `on_device`: a GPU would do it."""

    name: str
    ms: float
    on_device: bool = False


@dataclass(frozen=True)
class StreamCost:
    """parts: what a worker does, then what a device can do. kb: stored bytes of a clip."""

    clips: int
    kb: float
    parts: tuple[Part, ...]

    def worker_ms(self) -> float:
        """CPU milliseconds of one clip in a worker, with the cheaper decoder."""
        return sum(part.ms for part in self.parts if not part.on_device and part.name != "decode, all frames")

    def cores(self, step_s: float, batch: int) -> float:
        """Cores that keep one GPU busy which makes a step of `batch` clips in `step_s`."""
        return self.worker_ms() / 1000 * batch / step_s


def stream_cost(shards: Path, clips: int, model: str) -> StreamCost:
    """Time the parts over `clips` clips of the stream's own order, one thread, median of three rounds."""
    torch.set_num_threads(1)
    config = preset(model)
    order = Order(load_corpus(shards), Mix(), 0)
    reader, masker = ClipReader(shards, order.corpus), Masker(config, paper_masks(config))
    chosen = [int(clip) for clip in order.at(0, clips)[0]]
    files = [reader.read(clip) for clip in chosen]
    totals = [frame_count(one["flac"]) for one in files]
    draws = [draw_pretraining(order.digest, 0, n, total, masker) for n, total in enumerate(totals)]
    frames = config.geometry.frames
    wanted = [window_frames(draw.start_frame, frames, total) for draw, total in zip(draws, totals, strict=True)]
    video, audio = _batches(files, draws, wanted, frames)

    def transform() -> None:
        for at, (planes_BTRW, sound_BS) in enumerate(zip(video, audio, strict=True)):
            mine = tuple(draws[at * _BATCH : at * _BATCH + len(planes_BTRW)])
            video_input(planes_BTRW, mine, config.geometry)
            audio_input(sound_BS, torch.full((len(mine),), sound_BS.shape[1]), mine, config.geometry)

    def full_decode() -> None:
        for one, indices in zip(files, wanted, strict=True):
            planes(one["mp4"], sorted({*indices, indices[0] + 1}))  # an index off the stride: every frame is decoded

    parts: list[tuple[str, Callable[[], object], bool]] = [
        ("read and check", lambda: [reader.read(clip) for clip in chosen], False),
        ("draw windows, crops, masks", lambda: [draw_pretraining("x", 0, n, 100, masker) for n in range(clips)], False),
        ("decode, reference frames", lambda: [planes(f["mp4"], w) for f, w in zip(files, wanted, strict=True)], False),
        ("decode, all frames", full_decode, False),
        (
            "sound",
            lambda: [sound(f["flac"], d.start_frame, frames * STRIDE) for f, d in zip(files, draws, strict=True)],
            False,
        ),
        ("colour, crop, fbank", transform, True),
    ]
    found = tuple(Part(name, 1000 * _median_s(work) / clips, device) for name, work, device in parts)
    return StreamCost(clips, sum(len(data) for one in files for data in one.values()) / clips / 1000, found)


def _batches(
    files: list[dict[str, bytes]], draws: list[Draw], wanted: list[list[int]], frames: int
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    video, audio = [], []
    for at in range(0, len(files), _BATCH):
        some = slice(at, at + _BATCH)
        pictures = [planes(one["mp4"], indices) for one, indices in zip(files[some], wanted[some], strict=True)]
        video.append(torch.from_numpy(np.stack(pictures)))
        sounds = np.zeros((len(pictures), frames * STRIDE * 640), np.int16)
        for row, one, draw in zip(sounds, files[some], draws[some], strict=True):
            heard = sound(one["flac"], draw.start_frame, frames * STRIDE)
            row[: len(heard)] = heard
        audio.append(torch.from_numpy(sounds))
    return video, audio


def _median_s(work: Callable[[], object]) -> float:
    times = []
    for _ in range(_ROUNDS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)
