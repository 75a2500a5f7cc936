"""Made talkers as stored clips, and shards of them, for the benchmarks of the stream."""

import io
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
from avf_curation.recipe import load_recipe
from avf_shards.format.index import load_index, sidecar_path
from avf_shards.format.manifest import MANIFEST, seal
from avf_shards.format.run_folder import PackedClip, write_part
from avf_shards.schema.clip_key import make_clip_key
from avf_shards.timeline import Span

FRAMES = 150
ABOUT = "made talkers of 6 s over a textured, slowly moving background"


@lru_cache(maxsize=64)
def talker(number: int) -> tuple[np.ndarray, bytes]:
    """224 x 224 BGR pictures (150, 224, 224, 3) and the sound as FLAC."""
    said = speak(FRAMES, 110 + 5 * number, number)
    wall = draw_background(number, 400, 300)
    pictures = []
    for t in range(FRAMES):
        frame = wall[t // 6 % 60 : t // 6 % 60 + 224, t // 3 % 120 : t // 3 % 120 + 224].copy()
        pose = Pose(
            x=112 + 6 * np.sin(t / 9), y=118 + 3 * np.cos(t / 7), height=120, roll=0.0, mouth=float(said.mouth_T[t])
        )
        draw_speaker(frame, make_speaker(number % 5), pose)
        pictures.append(frame)
    return np.stack(pictures), encode_flac((said.samples[: FRAMES * 640] * 32767).astype(np.int16))


def stored(number: int, size_px: int = 224, jpeg_quality: int = 0) -> dict[str, bytes]:
    """The files of a clip as curation stores it: stride-aligned H.264, or packed JPEG of a quality."""
    pictures, sound = talker(number)
    sized = [cv2.resize(one, (size_px, size_px), interpolation=cv2.INTER_AREA) for one in pictures]
    config = replace(load_recipe().defaults.clip, size_px=size_px)
    if jpeg_quality:
        return {"frames": encode_packed_jpeg(sized, replace(config, jpeg_quality=jpeg_quality)), "flac": sound}
    return {"mp4": encode_mp4(sized, config), "flac": sound}


def by_x264(number: int, **options: str) -> dict[str, bytes]:
    """The files of a clip encoded with x264's own defaults and `options`."""
    pictures, sound = talker(number)
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "20", **options})
        stream.width = stream.height = 224
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        out.mux(stream.encode(None))
    return {"mp4": sink.getvalue(), "flac": sound}


def shards_of(folder: Path, clips: Sequence[dict[str, bytes]], name: str = "made") -> Path:
    """A folder of one packed shard."""
    folder.mkdir(parents=True, exist_ok=True)
    packed = [
        PackedClip(
            key=make_clip_key(name, str(n), Span(0, FRAMES), 0),
            source=name,
            frames=FRAMES,
            members=files | {"json": b"{}\n"},
        )
        for n, files in enumerate(clips)
    ]
    shard = folder / f"{name}-000000.tar"
    write_part(folder, shard.name, packed)
    entry = manifest_entry(shard)
    (folder / MANIFEST).write_bytes(seal({"shards": [entry], "sources": {}}))
    return folder


def manifest_entry(shard: Path) -> dict[str, object]:
    """What a manifest says of a shard."""
    import hashlib

    index = load_index(sidecar_path(shard))
    return {
        "shard": shard.name,
        "bytes": index.size_bytes,
        "sha256": index.sha256,
        "index_sha256": hashlib.sha256(sidecar_path(shard).read_bytes()).hexdigest(),
        "clips": index.clips,
        "seconds": index.seconds,
    }
