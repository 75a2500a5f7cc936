"""Drawn speakers as stored clips, and shards of such clips, for the benchmarks of the training stream."""

import io
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import av
import cv2
import numpy as np
from avf_curation.demo.backgrounds import draw_background
from avf_curation.demo.face_renderer import Pose, draw_speaker, make_speaker
from avf_curation.demo.speech import speak
from avf_curation.media.encode import encode_flac, encode_mp4, encode_packed_jpeg
from avf_curation.media.types import Bytes
from avf_curation.recipe import load_recipe
from avf_shards.format.run_folder import PackedClip, write_part
from avf_shards.packing.pack import list_shard
from avf_shards.schema.clip_key import make_clip_key
from avf_shards.timeline import SAMPLES_PER_FRAME, Span

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.shard_folders import write_manifest

FRAMES = 150
ABOUT = "drawn speakers of 6 s over a textured, slowly moving background"


@lru_cache(maxsize=64)
def draw_clip(number: int) -> tuple[Bytes, bytes]:
    """Return the BGR frames (150, 224, 224, 3) of drawn speaker `number`, and the sound as FLAC."""
    speech = speak(FRAMES, 110 + 5 * number, number)
    background = draw_background(number, 400, 300)
    frames = []
    for t in range(FRAMES):
        frame = background[t // 6 % 60 : t // 6 % 60 + 224, t // 3 % 120 : t // 3 % 120 + 224].copy()
        pose = Pose(
            x=112 + 6 * np.sin(t / 9), y=118 + 3 * np.cos(t / 7), height=120, roll=0.0, mouth=float(speech.mouth_T[t])
        )
        draw_speaker(frame, make_speaker(number % 5), pose)
        frames.append(frame)
    return np.stack(frames), encode_flac((speech.samples[: FRAMES * SAMPLES_PER_FRAME] * 32767).astype(np.int16))


def encode_stored_clip(number: int, size_px: int = 224, jpeg_quality: int = 0) -> dict[str, bytes]:
    """Return the files of a clip as curation stores it: H.264 with a stride-aligned GOP or, with a quality, packed JPEG."""
    frames, sound = draw_clip(number)
    sized = [
        np.asarray(cv2.resize(frame, (size_px, size_px), interpolation=cv2.INTER_AREA), np.uint8) for frame in frames
    ]
    config = replace(load_recipe().defaults.clip, size_px=size_px)
    if jpeg_quality:
        return {"frames": encode_packed_jpeg(sized, replace(config, jpeg_quality=jpeg_quality)), "flac": sound}
    return {"mp4": encode_mp4(sized, config), "flac": sound}


def encode_with_x264(number: int, **options: str) -> dict[str, bytes]:
    """Return the files of a clip that is encoded with x264's own defaults and `options`."""
    frames, sound = draw_clip(number)
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "20", **options})
        stream.width = stream.height = 224
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="bgr24")))
        out.mux(stream.encode(None))
    return {"mp4": sink.getvalue(), "flac": sound}


def write_shards(folder: Path, clips: Sequence[dict[str, bytes]], name: str = "made") -> Path:
    """Write one shard with its index and manifest; return the folder. A clip without a record gets an empty one."""
    folder.mkdir(parents=True, exist_ok=True)
    packed = [
        PackedClip(
            key=make_clip_key(name, str(n), Span(0, FRAMES), 0),
            source=name,
            frames=FRAMES,
            members=files if "json" in files else files | {"json": b"{}\n"},
        )
        for n, files in enumerate(clips)
    ]
    shard = folder / f"{name}-000000.tar"
    write_part(folder, shard.name, packed)
    write_manifest(folder, [list_shard(shard)])
    return folder
