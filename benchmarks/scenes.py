"""Cut detection against PySceneDetect's own loop (its PyAV backend, default settings) on a 720p video."""

import os
import tempfile
import time
from contextlib import closing
from pathlib import Path

import av
import cv2
import numpy as np
from avf_curation.demo.video import ShotScript, shot_frames
from avf_curation.detectors.shot_boundaries import ShotBoundaryDetector
from avf_curation.media.decode import MediaFile
from avf_curation.media.frame_converter import FrameConverter
from avf_curation.media.prefetch import prefetch_items
from avf_curation.recipe import load_recipe
from scenedetect import AdaptiveDetector, SceneManager, open_video

from benchmarks.table import Section, medians

NOTE = (
    "AdaptiveDetector, defaults, {frames} frames of 1280x720 H.264; medians of seven rounds, in turn. Both decode in threads of "
    "their own (ours one thread, bit for bit the same on any machine; PySceneDetect's as many as FFmpeg likes), so a second "
    "core helps both. The rest is H.264 decoding: held to one core, that alone is two thirds of our time."
)
SHOTS = [(110, 0), (140, 1), (90, 2), (160, 3), (120, 4), (180, 5)]


def run() -> list[Section]:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "video.mp4"
        frames = _write_video(path)
        ours, theirs = _ours(path), _theirs(path)
        works = (lambda: _ours(path), lambda: _theirs(path))
        wall, cpu = medians(works, time.perf_counter), medians(works, time.process_time)
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(cores)})
        one_core = medians(works, time.perf_counter)
        os.sched_setaffinity(0, cores)
    rows = [
        ["", "frames/s, whole machine", "frames/s, one core", "core-s", "cuts"],
        ["ours", f"{frames / wall[0]:.0f}", f"{frames / one_core[0]:.0f}", f"{cpu[0]:.2f}", str(ours)],
        [
            "PySceneDetect",
            f"{frames / wall[1]:.0f}",
            f"{frames / one_core[1]:.0f}",
            f"{cpu[1]:.2f}",
            str(theirs),
        ],
        [
            "ratio (target 1.5)",
            f"{wall[1] / wall[0]:.2f}",
            f"{one_core[1] / one_core[0]:.2f}",
            f"{cpu[1] / cpu[0]:.2f}",
            "same" if ours == theirs else "DIFFER",
        ],
    ]
    return [Section("Scenes", NOTE.format(frames=frames), rows)]


def _write_video(path: Path) -> int:
    """Write a video of six shots; return the number of its frames."""
    total = 0
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"crf": "21", "preset": "fast"})
        video.width, video.height, video.pix_fmt = 1280, 720, "yuv420p"
        for frames, number in SHOTS:
            drawn, _ = shot_frames(ShotScript(frames=frames, speakers=(number,), seed=number, pan=1.5))
            for image in drawn:
                frame = av.VideoFrame.from_ndarray(np.asarray(cv2.resize(image, (1280, 720)), np.uint8), format="bgr24")
                out.mux(video.encode(frame))
            total += frames
        out.mux(video.encode(None))
    return total


def _ours(path: Path) -> list[int]:
    recipe = load_recipe().defaults
    detector, cuts, converter = ShotBoundaryDetector(recipe.scenes), set[int](), FrameConverter()
    with MediaFile(path, recipe.media) as media, closing(prefetch_items(media.frames())) as frames:
        for item in frames:
            small, _ = converter.long_side(item.frame, recipe.scenes.width_px, "bgr24")
            cuts.update(detector.feed(item.index, small))
    return sorted({*cuts, *detector.finish()})


def _theirs(path: Path) -> list[int]:
    manager = SceneManager()
    manager.add_detector(AdaptiveDetector())
    manager.detect_scenes(open_video(str(path), backend="pyav"))
    return [start.frame_num for start, _ in manager.get_scene_list()][1:]
