"""Measure clips per core-second of the stream, against webdataset over default x264 and against the codecs alone."""

import gc
import io
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import soundfile
import torch
import webdataset
from avf_shards.format.tar import TarWriter
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from avf_training.data.batch import concat_batches
from avf_training.data.fbank import log_mel
from avf_training.data.loader import StreamLoader
from avf_training.data.ordered_stream import StreamConfig
from avf_training.data.pretraining_sampler import (
    PretrainingBatch,
    PretrainingParams,
    PretrainingSampler,
    pretraining_input,
)
from avf_training.data.stream import ClipStream
from avf_training.models.mask_sampling import paper_masks
from avf_training.models.presets import PRESETS

from benchmarks.table import Section, medians
from benchmarks.talkers import ABOUT, encode_stored_clip, encode_with_x264, write_shards

CLIPS = 32
NOTE = (
    f"{CLIPS} {ABOUT}, 224x224; the same windows of 16 frames at stride 4 and their sound. One thread, CPU time, medians of seven rounds in "
    "turn. Ours: all that a worker does, from the read with its checksums to collated planes and sound; colour, crop and fbank "
    "run in batches on the device and are not in it. Raw: libavcodec on just those frames, libsndfile on just that sound, bytes in memory. "
    "Peer: webdataset over default x264 mp4 (crf 20), PyAV decoding up to the window's end, RGB, resize and fbank for each sample in numpy "
    "and torchaudio. What ours costs above the raw limit (profiled): reading and checking 0.1 ms, draws 0.1 ms, planes copied to the batch "
    "0.2 ms, the rest is Python. Tried without gain: larger read buffers, no probing (FFmpeg's options), demuxing by hand."
)


def run() -> list[Section]:
    model = PRESETS["avfmaepp_b"]
    with tempfile.TemporaryDirectory() as folder:
        stream = ClipStream(
            StreamConfig(
                shards=write_shards(Path(folder) / "ours", [encode_stored_clip(n) for n in range(CLIPS)]), batch=CLIPS
            ),
            PretrainingSampler(model, paper_masks(model)),
        )
        clip_numbers = [int(clip) for clip in stream.order.clips_between(0, CLIPS)[0]]
        files = [dict(stream.reader.read(clip)) for clip in clip_numbers]
        parts = list(islice(stream, stream.parts_per_step))
        batch = concat_batches(parts)
        peers = [encode_with_x264(clip) for clip in clip_numbers]
        path = Path(folder) / "peer.tar"
        writer = TarWriter(path)
        for number, members in enumerate(peers):
            for kind in ("flac", "mp4"):
                writer.add(f"{number:06d}.{kind}", members[kind])
        writer.close()

        def peer() -> None:
            rows = webdataset.WebDataset(str(path), shardshuffle=False)
            for row, sampled in zip(rows, batch.params, strict=True):
                _by_sample(row["mp4"], row["flac"], sampled)

        works: list[Callable[[], object]] = [
            step_function(stream),
            lambda: _raw(files, batch.params),
            lambda: [pretraining_input(part, model.geometry) for part in parts],
            peer,
        ]
        seconds = medians(works, time.process_time, 7)
        worker_ms = statistics.median(_worker_cpu_ms(stream) for _ in range(5))
    kinds = (files, files, files, peers)
    size = [sum(len(data) for members in clips for data in members.values()) / CLIPS / 1000 for clips in kinds]
    names = (
        "ours: read, check, draw, decode, collate",
        "raw limit",
        "colour, crop and fbank on the same core, in batches",
        "webdataset, default x264, per sample",
    )
    rows = [["", "CPU ms a clip", "clips a core-second", "KB a clip", "ours against it", "target"]]
    for name, time_s, kb, target in zip(names, seconds, size, ("", "0.8", "", "5"), strict=True):
        ms = 1000 * time_s / CLIPS
        rows.append([name, f"{ms:.2f}", f"{1000 / ms:.0f}", f"{kb:.0f}", f"{time_s / seconds[0]:.2f}", target])
    rows.insert(
        2,
        [
            "ours in a worker process, handed over to the trainer's",
            f"{worker_ms:.2f}",
            f"{1000 / worker_ms:.0f}",
            f"{size[0]:.0f}",
            f"{worker_ms * CLIPS / 1000 / seconds[0]:.2f}",
            "",
        ],
    )
    return [Section("Stream", NOTE, rows)]


def step_function(stream: ClipStream[PretrainingParams, PretrainingBatch]) -> Callable[[], object]:
    """Return a function that fills the batches of the next step as a worker does, in buffers that exist already."""
    stream.buffers = 2
    parts = iter(stream)
    for _ in range(2 * stream.parts_per_step):
        next(parts)  # allocates the buffers

    def step() -> None:
        for _ in range(stream.parts_per_step):
            next(parts)

    return step


def _worker_cpu_ms(stream: ClipStream[PretrainingParams, PretrainingBatch]) -> float:
    """Return the CPU milliseconds of a clip in a DataLoader worker, from the difference of 40 and 10 steps."""

    def cpu_s(steps: int) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        for _ in islice(StreamLoader(stream, workers=1), steps):
            pass
        gc.collect()  # ends the worker
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    return 1000 * (cpu_s(40) - cpu_s(10)) / 30 / CLIPS


def _by_sample(mp4_file: bytes, flac_file: bytes, draw: PretrainingParams) -> None:
    """Decode a sample as loaders usually do: one sample at a time, every frame up to the end of the window."""
    frames = []
    with av.open(io.BytesIO(mp4_file), "r") as container:
        container.streams.video[0].thread_count = 1
        for index, frame in enumerate(container.decode(video=0)):
            if index in draw.frames:
                frames.append(cv2.resize(frame.to_ndarray(format="rgb24"), (160, 160)))
            if index >= draw.frames[-1]:
                break
    video = (np.stack(frames).astype(np.float32) / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    video.transpose(3, 0, 1, 2)
    samples, _ = soundfile.read(io.BytesIO(flac_file), dtype="float32")
    log_mel(
        torch.from_numpy(samples[draw.start_frame * SAMPLES_PER_FRAME : (draw.start_frame + 64) * SAMPLES_PER_FRAME]),
        SAMPLE_RATE_HZ,
    )


def _raw(clips: list[dict[str, bytes]], params: Sequence[PretrainingParams]) -> None:
    """Decode only the frames and the sound of each window with the codecs' libraries."""
    for files, draw in zip(clips, params, strict=True):
        with av.open(io.BytesIO(files["mp4"]), "r", format="mp4") as container:
            stream = container.streams.video[0]
            stream.thread_count = 1
            assert stream.time_base is not None
            stream.codec_context.skip_frame = "NONREF"
            if draw.start_frame:
                container.seek(int(draw.start_frame / FRAMES_PER_SECOND / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                if frame.pts is not None and frame.pts * stream.time_base * FRAMES_PER_SECOND >= draw.frames[-1]:
                    break
        with soundfile.SoundFile(io.BytesIO(files["flac"])) as file:
            file.seek(draw.start_frame * SAMPLES_PER_FRAME)
            file.read(64 * SAMPLES_PER_FRAME, dtype="int16")
