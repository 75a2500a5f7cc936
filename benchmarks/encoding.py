"""x264 presets: quality per core-second, on frames of a real talking head where they are here."""

import io
import time

import av
import numpy as np
from avf_curation.demo.video import ShotScript, shot_frames
from avf_curation.media.clip_config import ClipConfig
from avf_curation.media.encode import encode_mp4

from benchmarks.table import SHARED, Section

PRESETS = ("ultrafast", "veryfast", "faster", "fast", "medium", "slow")


def run() -> list[Section]:
    frames, what = _frames()
    rows = [["preset, crf 20, fastdecode", "core-s / 200 frames", "KB", "PSNR dB"]]
    for preset in PRESETS:
        config = ClipConfig(size_px=224, codec="h264", preset=preset, crf=20, fastdecode=True, jpeg_quality=90)
        start = time.process_time()
        data = encode_mp4(frames, config)
        spent = (time.process_time() - start) * 200 / len(frames)
        with av.open(io.BytesIO(data)) as container:
            back = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
        error = np.mean((np.stack(back).astype(np.float32) - np.stack(frames)) ** 2)
        rows.append([preset, f"{spent:.2f}", f"{len(data) / 1000:.0f}", f"{10 * np.log10(255**2 / error):.1f}"])
    note = f"{what}; stride-aligned GOP. `medium` is kept: `veryfast` is 2.5 times as fast but loses about 1 dB."
    return [Section("Encoding", note, rows)]


def _frames() -> tuple[list[np.ndarray], str]:
    path = SHARED / "assets/video/syncnet_example.avi"
    if path.is_file():
        with av.open(str(path)) as container:
            frames = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
        return frames[:200], "200 frames of a real news speaker, 224x224"
    pictures, _ = shot_frames(ShotScript(frames=200, speakers=(0,), seed=1))
    return [np.ascontiguousarray(picture[68:292, 128:352]) for picture in pictures], "200 frames of a drawn talker"
