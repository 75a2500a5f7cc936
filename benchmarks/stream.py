"""Clips per core-second of the stream, beside webdataset over default x264, and beside the raw limit of the codecs."""

import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import soundfile
import torch
import webdataset
from avf_curation.backends.encode import flac, mp4
from avf_curation.demo.people import Pose, backdrop, draw_person, make_person
from avf_curation.demo.speech import speak
from avf_curation.recipe import load_recipe
from avf_shards.tar import TarWriter
from avf_training.data.decode import planes, sound, window_frames
from avf_training.data.draws import draw_pretraining
from avf_training.data.fbank import log_mel
from avf_training.data.transforms import audio_input, video_input
from avf_training.masking import Masker, paper_masks
from avf_training.models.presets import PRESETS

from benchmarks.table import Section, medians

CLIPS, FRAMES = 24, 150
NOTE = (
    f"{CLIPS} made talkers of 6 s at 224x224 over a textured, slowly moving background; the same windows of 16 frames at stride 4 and "
    "their sound. One thread, CPU time, medians of five rounds in turn. Peer: webdataset over default x264 mp4 (crf 20), PyAV decoding up "
    "to the window's end, RGB, resize and fbank for each sample in numpy and torchaudio. Ours hands on planes and sound; colour, crop "
    "and fbank run in batches on the device and are not in it. Raw: libavcodec on just those frames, libsndfile on just that sound."
)


def run() -> list[Section]:
    model = PRESETS["avfmaepp_b"]
    masker = Masker(model, paper_masks(model))
    starts = [draw_pretraining("bench", 0, n, FRAMES, masker).start_frame for n in range(CLIPS)]
    ours, peers = zip(*(_clip(n) for n in range(CLIPS)), strict=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "peer.tar"
        writer = TarWriter(path)
        for number, files in enumerate(peers):
            for kind in ("flac", "mp4"):
                writer.add(f"{number:06d}.{kind}", files[kind])
        writer.close()

        def stream() -> None:
            for number, (files, start) in enumerate(zip(ours, starts, strict=True)):
                draw_pretraining("bench", 0, number, FRAMES, masker)
                planes(files["mp4"], window_frames(start, 16, FRAMES))
                sound(files["flac"], start, 64)

        def peer() -> None:
            rows = webdataset.WebDataset(str(path), shardshuffle=False)
            for row, start in zip(rows, starts, strict=True):
                _by_sample(row["mp4"], row["flac"], start)

        works: list[Callable[[], object]] = [
            stream,
            lambda: _raw(ours, starts),
            lambda: _transformed(ours, starts, masker),
            peer,
        ]
        seconds = medians(works, time.process_time, 5)
    kinds = (ours, ours, ours, peers)
    size = [sum(len(files[kind]) for files in clips for kind in files) / CLIPS / 1000 for clips in kinds]
    names = (
        "ours: draws, planes and sound",
        "raw limit",
        "ours with colour, crop and fbank on the same core",
        "webdataset, default x264, per sample",
    )
    rows = [["", "CPU ms a clip", "clips a core-second", "KB a clip", "ours against it", "target"]]
    for name, time_s, kb, target in zip(names, seconds, size, ("", "0.8", "", "5"), strict=True):
        ms = 1000 * time_s / CLIPS
        rows.append([name, f"{ms:.2f}", f"{1000 / ms:.0f}", f"{kb:.0f}", f"{time_s / seconds[0]:.2f}", target])
    return [Section("Stream", NOTE, rows)]


def _clip(number: int) -> tuple[dict[str, bytes], dict[str, bytes]]:
    said = speak(FRAMES, 110 + 5 * number, number)
    wall = backdrop(number, 400, 300)
    pictures = []
    for t in range(FRAMES):
        frame = wall[t // 6 % 60 : t // 6 % 60 + 224, t // 3 % 120 : t // 3 % 120 + 224].copy()
        pose = Pose(112 + 6 * np.sin(t / 9), 118 + 3 * np.cos(t / 7), 120, 0.0, float(said.mouth_T[t]))
        draw_person(frame, make_person(number % 5), pose)
        pictures.append(frame)
    sound_file = flac((said.samples[: FRAMES * 640] * 32767).astype(np.int16))
    return (
        {"mp4": mp4(pictures, load_recipe().defaults.clip), "flac": sound_file},
        {"mp4": _default_x264(pictures), "flac": sound_file},
    )


def _default_x264(pictures: list[np.ndarray]) -> bytes:
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "20"})
        stream.width = stream.height = 224
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        out.mux(stream.encode(None))
    return sink.getvalue()


def _by_sample(mp4_file: bytes, flac_file: bytes, start: int) -> None:
    """What a loader of the usual kind does for one sample."""
    wanted = window_frames(start, 16, FRAMES)
    found = []
    with av.open(io.BytesIO(mp4_file)) as container:
        container.streams.video[0].thread_count = 1
        for index, frame in enumerate(container.decode(video=0)):
            if index in wanted:
                found.append(cv2.resize(frame.to_ndarray(format="rgb24"), (160, 160)))
            if index >= wanted[-1]:
                break
    video = (np.stack(found).astype(np.float32) / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    video.transpose(3, 0, 1, 2)
    samples, _ = soundfile.read(io.BytesIO(flac_file), dtype="float32")
    log_mel(torch.from_numpy(samples[start * 640 : (start + 64) * 640]), 16_000)


def _transformed(clips: tuple[dict[str, bytes], ...], starts: list[int], masker: Masker) -> None:
    draws = tuple(draw_pretraining("bench", 0, number, FRAMES, masker) for number in range(CLIPS))
    pictures = [planes(f["mp4"], window_frames(start, 16, FRAMES)) for f, start in zip(clips, starts, strict=True)]
    sounds = [sound(f["flac"], start, 64) for f, start in zip(clips, starts, strict=True)]
    video_input(torch.from_numpy(np.stack(pictures)), draws, PRESETS["avfmaepp_b"].geometry)
    heard = torch.from_numpy(np.stack(sounds))
    audio_input(heard, torch.full((CLIPS,), heard.shape[1]), draws, PRESETS["avfmaepp_b"].geometry)


def _raw(clips: tuple[dict[str, bytes], ...], starts: list[int]) -> None:
    for files, start in zip(clips, starts, strict=True):
        with av.open(io.BytesIO(files["mp4"]), "r", format="mp4") as container:
            stream = container.streams.video[0]
            stream.thread_count = 1
            stream.codec_context.skip_frame = "NONREF"
            if start:
                container.seek(int(start / 25 / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                if frame.pts * stream.time_base * 25 >= start + 60:
                    break
        with soundfile.SoundFile(io.BytesIO(files["flac"])) as file:
            file.seek(start * 640)
            file.read(64 * 640, dtype="int16")
