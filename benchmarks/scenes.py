"""Cut detection against PySceneDetect's own loop (its PyAV backend, default settings) on a 720p film."""

import os
import tempfile
import time
from contextlib import closing
from pathlib import Path

import av
import cv2
from avf_curation.demo.video import ShotScript, shot_frames
from avf_curation.detectors.shot_boundaries import ShotBoundaryDetector
from avf_curation.media.decode import FrameConverter, MediaFile
from avf_curation.media.prefetch import prefetch_items
from avf_curation.recipe import load_recipe
from scenedetect import AdaptiveDetector, SceneManager, open_video

from benchmarks.table import Section, medians

NOTE = (
    "AdaptiveDetector, defaults, {frames} frames of 1280x720 H.264; medians of seven rounds, in turn. Both decode in threads of "
    "their own (ours one thread, bit for bit the same on any machine; PySceneDetect's as many as FFmpeg likes), so a second "
    "core helps both. What is left is H.264 decoding: held to one core, that alone is two thirds of our time."
)
SHOTS = [(110, 0), (140, 1), (90, 2), (160, 3), (120, 4), (180, 5)]


def run() -> list[Section]:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "film.mp4"
        frames = _film(path)
        ours, theirs = _ours(path), _theirs(path)
        both = (lambda: _ours(path), lambda: _theirs(path))
        wall, cpu = medians(both, time.perf_counter), medians(both, time.process_time)
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(cores)})
        one = medians(both, time.perf_counter)
        os.sched_setaffinity(0, cores)
    rows = [
        ["", "frames/s, whole machine", "frames/s, one core", "core-s", "cuts"],
        ["ours", f"{frames / wall[0]:.0f}", f"{frames / one[0]:.0f}", f"{cpu[0]:.2f}", str(ours)],
        [
            "PySceneDetect",
            f"{frames / wall[1]:.0f}",
            f"{frames / one[1]:.0f}",
            f"{cpu[1]:.2f}",
            str(theirs),
        ],
        [
            "ratio (target 1.5)",
            f"{wall[1] / wall[0]:.2f}",
            f"{one[1] / one[0]:.2f}",
            f"{cpu[1] / cpu[0]:.2f}",
            "same" if ours == theirs else "DIFFER",
        ],
    ]
    return [Section("Scenes", NOTE.format(frames=frames), rows)]


def _film(path: Path) -> int:
    total = 0
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"crf": "21", "preset": "fast"})
        video.width, video.height, video.pix_fmt = 1280, 720, "yuv420p"
        for frames, number in SHOTS:
            pictures, _ = shot_frames(ShotScript(frames=frames, speakers=(number,), seed=number, pan=1.5))
            for picture in pictures:
                frame = av.VideoFrame.from_ndarray(cv2.resize(picture, (1280, 720)), format="bgr24")
                out.mux(video.encode(frame))
            total += frames
        out.mux(video.encode(None))
    return total


def _ours(path: Path) -> list[int]:
    recipe = load_recipe().defaults
    cuts, found, converter = ShotBoundaryDetector(recipe.scenes), [], FrameConverter()
    with MediaFile(path, recipe.media) as media, closing(prefetch_items(media.frames())) as frames:
        for at in frames:
            small, _ = converter.long_side(at.frame, recipe.scenes.width_px, "bgr24")
            found += cuts.feed(at.index, small)
    return sorted({*found, *cuts.finish()})


def _theirs(path: Path) -> list[int]:
    manager = SceneManager()
    manager.add_detector(AdaptiveDetector())
    manager.detect_scenes(open_video(str(path), backend="pyav"))
    return [start.frame_num for start, _ in manager.get_scene_list()][1:]
