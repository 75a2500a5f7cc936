"""The peers' way of curating: a process per clip and step, command lines for ffmpeg and PySceneDetect, images on disk.

The steps are those of LatentSync's preprocessing, syncnet_python and the CN-CVS collector, with our thresholds and the
models of our own pipeline, so that the verdicts can be compared. `python -m benchmarks.stepwise STEP FOLDER WEIGHTS`
runs one Python step in a process of its own (cold); `run_pipeline` runs all steps.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import soundfile
from avf_curation.detectors import overlay
from avf_curation.detectors.detector_set import Detectors, resolve_backends
from avf_curation.detectors.librosa_split import split_silence
from avf_curation.media import crop
from avf_curation.media.types import Bytes
from avf_curation.pipeline import refining
from avf_curation.recipe import load_recipe
from avf_curation.stages import faces, quality, scenes, silence, sync, tracking
from avf_shards.schema.ledger import Check
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLES_PER_FRAME, Span

STEPS = (
    "resample",
    "shots",
    "sample frames",
    "faces",
    "silence",
    "cut",
    "all frames",
    "track",
    "sync",
    "quality",
    "encode",
)
SETTINGS = load_recipe().defaults
_FFMPEG = ("ffmpeg", "-nostdin", "-loglevel", "error", "-y")
Verdict = tuple[float, float, str]  # start and stop of a span in seconds; "kept", or stage/reason
T = TypeVar("T")


@dataclass
class Costs:
    """The accumulated time of each step."""

    cpu: dict[str, float] = field(default_factory=dict)  # step -> CPU seconds of this process and its children
    wall: dict[str, float] = field(default_factory=dict)  # step -> wall-clock seconds

    def measure(self, step: str, work: Callable[[], T]) -> T:
        """Call `work`, add its time to `step` and return its result."""
        before, start = _cpu(), time.perf_counter()
        result = work()
        self.cpu[step] = self.cpu.get(step, 0.0) + _cpu() - before
        self.wall[step] = self.wall.get(step, 0.0) + time.perf_counter() - start
        return result


def _cpu() -> float:
    """Return the CPU seconds so far of this process and its finished children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def run_pipeline(video: Path, folder: Path, detectors: Detectors | None, weights: Path, costs: Costs) -> list[Verdict]:
    """Curate `video` step by step; return the verdict of each span.

    With `detectors`, the Python steps run in forks of this process that have them loaded; without, in fresh processes.
    """

    def command(step: str, *words: str) -> None:
        costs.measure(step, lambda: subprocess.run(words, check=True, capture_output=True))

    def python(step: str, folder: Path) -> Any:
        work = (
            partial(_run_in_fork, step, folder, detectors)
            if detectors is not None
            else partial(_run_in_new_process, step, folder, weights)
        )
        return costs.measure(step, work)

    folder.mkdir()
    video_25fps = folder / "25fps.mp4"
    sound = ("-ar", "16000", "-ac", "1")
    command("resample", *_FFMPEG, "-i", str(video), "-r", "25", "-crf", "18", *sound, str(video_25fps))
    verdicts: list[Verdict] = []
    for number, (start, stop, shot) in enumerate(_shots(video_25fps, folder, command)):
        shot_folder = folder / f"shot{number}"
        shot_folder.mkdir()
        checks = scenes.decide(
            scenes.ScenesScores(
                length_s=stop - start, cut_off_s=0.0, no_picture_s=0.0, no_sound_s=_missing_s(shot, stop - start)
            ),
            SETTINGS.scenes,
        )
        reason = _failing(checks)
        if reason is None:
            every = max(1, round((stop - start) * FRAMES_PER_SECOND) // SETTINGS.faces.samples)
            command(
                "sample frames",
                *_FFMPEG,
                "-i",
                str(shot),
                "-vf",
                f"select=not(mod(n\\,{every}))",
                "-vsync",
                "0",
                str(shot_folder / "s%03d.jpg"),
            )
            reason = python("faces", shot_folder)
        if reason is not None:
            verdicts.append((start, stop, reason))
            continue
        command("silence", *_FFMPEG, "-i", str(shot), *sound, str(shot_folder / "sound.wav"))
        for low, high, silence_reason in python("silence", shot_folder):
            begin, end = low / FRAMES_PER_SECOND, high / FRAMES_PER_SECOND
            if silence_reason is not None:
                verdicts.append((start + begin, start + end, silence_reason))
                continue
            part = shot_folder / f"part{low}"
            part.mkdir()
            cut = part / "part.mp4"
            command(
                "cut", *_FFMPEG, "-ss", f"{begin}", "-to", f"{end}", "-i", str(shot), "-crf", "18", *sound, str(cut)
            )
            command("all frames", *_FFMPEG, "-i", str(cut), "-qscale:v", "2", str(part / "%05d.jpg"))
            command("all frames", *_FFMPEG, "-i", str(cut), *sound, str(part / "sound.wav"))
            reason = next((failed for step in ("track", "sync", "quality") if (failed := python(step, part))), None)
            if reason is None:
                words = ("-framerate", "25", "-i", str(part / "crop%05d.jpg"), "-i", str(part / "sound.wav"))
                command("encode", *_FFMPEG, *words, "-crf", "20", "-pix_fmt", "yuv420p", str(part / "clip.mp4"))
            verdicts.append((start + begin, start + end, reason or "kept"))
    return verdicts


def _shots(video: Path, folder: Path, command: Callable[..., None]) -> list[tuple[float, float, Path]]:
    """Split the file with PySceneDetect's command line; return (start_s, stop_s, file) of each shot. A file without a cut is one shot."""
    config = SETTINGS.scenes
    words = ("detect-adaptive", "-t", str(config.adaptive_threshold), "-c", str(config.adaptive_min_content))
    length = ("-m", f"{config.min_cut_distance_s}s")
    program = str(Path(sys.executable).with_name("scenedetect"))
    out = folder / "shots"
    command(
        "shots", program, "-q", "-i", str(video), "-o", str(out), *length, *words, "list-scenes", "-q", "split-video"
    )
    table = next(iter(out.glob("*Scenes.csv")), None)
    rows = [line.split(",") for line in table.read_text().splitlines()[2:]] if table else []
    files = sorted(out.glob("*.mp4"))
    if len(files) < 2 or len(rows) != len(files):
        return [(0.0, _length_s(video), video)]
    return [(float(row[3]), float(row[6]), file) for row, file in zip(rows, files, strict=True)]


def _length_s(path: Path) -> float:
    words = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=duration", "-of", "csv=p=0"]
    return float(subprocess.run([*words, str(path)], check=True, capture_output=True, text=True).stdout.strip() or 0)


def _missing_s(shot: Path, length_s: float) -> float:
    """Return the seconds of the shot that have no sound."""
    words = ["ffprobe", "-v", "error", "-select_streams", "a:0", "-show_entries", "stream=duration", "-of", "csv=p=0"]
    duration = subprocess.run([*words, str(shot)], check=True, capture_output=True, text=True).stdout.strip()
    return max(0.0, length_s - float(duration)) if duration and duration != "N/A" else length_s


def _failing(checks: tuple[Check, ...]) -> str | None:
    return next((f"{check.stage}/{check.reason}" for check in checks if check.passed is False), None)


# -- the Python steps: each reads the files of the step before ---------------------------------------------------------


def run_step(step: str, folder: Path, detectors: Detectors) -> Any:
    """Run one step in this process; return its result, which JSON can hold."""
    return {"faces": _faces, "silence": _silence, "track": _track, "sync": _sync, "quality": _quality}[step](
        folder, detectors
    )


def _faces(folder: Path, detectors: Detectors) -> str | None:
    images = _images(folder, "s*.jpg")[: SETTINGS.faces.samples]
    height, width = images[0].shape[:2]
    scale = min(1.0, SETTINGS.faces.side_px / max(height, width))
    boxes = []
    for image in images:
        small = cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
        grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)
        boxes.append(tuple(detectors.dlib.detect(grey, scale, SETTINGS.faces.upsample, SETTINGS.faces.min_score)))
    return _failing(faces.decide(faces.measure(tuple(boxes), width, height), SETTINGS.faces))


def _silence(folder: Path, detectors: Detectors) -> list[tuple[int, int, str | None]]:
    samples, _ = soundfile.read(folder / "sound.wav", dtype="int16")
    shot = Span(0, len(samples) // SAMPLES_PER_FRAME)
    stretches = silence.measure(shot, samples[: shot.frames * SAMPLES_PER_FRAME], split_silence, SETTINGS.silence)
    return [
        (stretch.span.start_frame, stretch.span.stop_frame, _failing(silence.decide(stretch, SETTINGS.silence)))
        for stretch in stretches
    ]


def _read_image(path: Path) -> Bytes:
    image = cv2.imread(str(path))
    if image is None:
        raise ValueError(f"{path} is not an image")
    return np.asarray(image, np.uint8)


def _images(folder: Path, pattern: str) -> list[Bytes]:
    return [_read_image(path) for path in sorted(folder.glob(pattern))]


def _track(folder: Path, detectors: Detectors) -> str | None:
    images = _images(folder, "0*.jpg")
    height, width = images[0].shape[:2]
    scale = min(1.0, SETTINGS.track.side_px / max(height, width))
    size = round(width * scale), round(height * scale)

    def detect(frames: Any) -> list[Any]:  # one image at a time, every frame
        faces_found = []
        for i in frames:
            small = images[i] if scale == 1 else cv2.resize(images[i], size, interpolation=cv2.INTER_AREA)
            faces_found += detectors.faces([np.asarray(small, np.uint8)], scale, SETTINGS.track)
        return faces_found

    track = next(iter(tracking.measure(len(images), detect, width, height, replace(SETTINGS.track, every=1))), None)
    reason = _failing(tracking.decide(track, SETTINGS.track))
    if reason is None and track is not None:
        for t, image in enumerate(images):
            x, y = track.window.centres_T2[t]
            cv2.imwrite(
                str(folder / f"crop{t + 1:05d}.jpg"), crop.crop_square(image, (x, y), track.window.side_px, 224)
            )
        mouths = track.mouths_T2
        np.savez(
            folder / "track.npz",
            boxes=track.boxes_T4,
            centres=track.window.centres_T2,
            side=track.window.side_px,
            mouths=np.zeros(0) if mouths is None else mouths,
        )
    return reason


def _load_track(folder: Path) -> tracking.Track:
    with np.load(folder / "track.npz") as data:
        mouths = data["mouths"] if len(data["mouths"]) else None
        window = tracking.CropWindow(side_px=float(data["side"]), centres_T2=data["centres"])
        return tracking.Track(
            boxes_T4=data["boxes"],
            mouths_T2=mouths,
            window=window,
            face_px=0.0,
            lost_share=0.0,
            rival_share=0.0,
            step=0.0,
            padding=0.0,
            detections=0,
        )


def _sync(folder: Path, detectors: Detectors) -> str | None:
    faces_NHW = np.zeros((0, quality.SHARPNESS_PX, quality.SHARPNESS_PX), np.uint8)  # this step measures no sharpness
    crops = refining.FaceCrops(face_THWC=np.stack(_images(folder, "crop*.jpg")), sync_THWC=None, faces_NHW=faces_NHW)
    samples, _ = soundfile.read(folder / "sound.wav", dtype="int16")
    padded = np.zeros(len(crops.face_THWC) * SAMPLES_PER_FRAME, np.int16)
    padded[: len(samples)] = samples[: len(padded)]
    scores = refining.score_sync(crops, _load_track(folder), padded, SETTINGS.sync, detectors)
    return _failing(sync.decide(scores, SETTINGS.sync))


def _quality(folder: Path, detectors: Detectors) -> str | None:
    images, crops = _images(folder, "0*.jpg"), _images(folder, "crop*.jpg")
    config = SETTINGS.quality
    height, width = images[0].shape[:2]
    scale = min(1.0, config.side_px / max(height, width))
    size = max(16, round(width * scale)), max(16, round(height * scale))
    small = [crop.resize_grey(crop.to_grey(image), *size) for image in images[:: config.every]]
    grey, track = np.stack([crop.to_grey(image) for image in crops]), _load_track(folder)
    faces = [refining.crop_face(images[t], track, t) for t in range(0, len(images), config.every)]
    watermark = overlay.find_overlay(small) if len(images) / FRAMES_PER_SECOND >= config.watermark_min_s else None
    scores = quality.QualityScores(
        sharpness=float(np.median([crop.sharpness(face_HW) for face_HW in faces])),
        frozen_s=quality.frozen_s(grey, config.frozen_level),
        black_share=quality.black_share(grey, config.black_level),
        bars=quality.bars_in_window(small, scale, track.window),
        overlay_px=None if watermark is None else float(watermark.edge_px),
    )
    return _failing(quality.decide(scores, config))


# -- processes ----------------------------------------------------------------------------------------------------------


def _run_in_fork(step: str, folder: Path, detectors: Detectors) -> Any:
    """Run a step in a forked child, which starts with all imports and models loaded."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.write(writer, json.dumps(run_step(step, folder, detectors)).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        output = file.read()
    _, exit_status = os.waitpid(pid, 0)
    if exit_status:
        raise RuntimeError(f"the step {step} failed in {folder}")
    return json.loads(output)


def _run_in_new_process(step: str, folder: Path, weights: Path) -> Any:
    """Run a step in a fresh process, which imports and loads everything."""
    words = [sys.executable, "-m", "benchmarks.stepwise", step, str(folder), str(weights)]
    process = subprocess.run(words, check=True, capture_output=True, text=True)
    return json.loads(process.stdout.splitlines()[-1])


if __name__ == "__main__":
    print(
        json.dumps(
            run_step(sys.argv[1], Path(sys.argv[2]), Detectors(resolve_backends(load_recipe(), Path(sys.argv[3]))))
        )
    )
