"""The peers' way of curating: a process per clip and step, command lines for ffmpeg and PySceneDetect, images on disk.

Each step below is what LatentSync's preprocessing, syncnet_python and the CN-CVS collector do, with our thresholds and the
same models as our own pipeline, so that the verdicts can be compared. `python -m benchmarks.stepwise STEP FOLDER WEIGHTS`
runs one Python step in a process of its own (cold); `pipeline` runs all.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import soundfile
from avf_curation.detectors import overlay
from avf_curation.detectors.detector_set import Detectors, resolve_backends
from avf_curation.detectors.librosa_split import split_silence
from avf_curation.media import crop
from avf_curation.pipeline import refining
from avf_curation.recipe import load_recipe
from avf_curation.stages import faces, quality, scenes, silence, sync, tracking
from avf_shards.schema.ledger import Check
from avf_shards.timeline import Span

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


@dataclass
class Costs:
    """CPU seconds (ours and our children's) and wall seconds of each step."""

    cpu: dict[str, float] = field(default_factory=dict)
    wall: dict[str, float] = field(default_factory=dict)

    def timed(self, step: str, work: Callable[[], Any]) -> Any:
        before, start = _cpu(), time.perf_counter()
        found = work()
        self.cpu[step] = self.cpu.get(step, 0.0) + _cpu() - before
        self.wall[step] = self.wall.get(step, 0.0) + time.perf_counter() - start
        return found


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def pipeline(
    video: Path, folder: Path, tools: Detectors | None, weights: Path, costs: Costs
) -> list[tuple[float, float, str]]:
    """(start_s, stop_s, verdict) of each span of `video`. tools: Python steps run in forks that have them; None: cold."""

    def command(step: str, *words: str) -> None:
        costs.timed(step, lambda: subprocess.run(words, check=True, capture_output=True))

    def python(step: str, place: Path) -> Any:
        work = (lambda: _forked(step, place, tools)) if tools is not None else (lambda: _fresh(step, place, weights))
        return costs.timed(step, work)

    folder.mkdir()
    whole = folder / "25fps.mp4"
    sound = ("-ar", "16000", "-ac", "1")
    command("resample", *_FFMPEG, "-i", str(video), "-r", "25", "-crf", "18", *sound, str(whole))
    verdicts: list[tuple[float, float, str]] = []
    for number, (start, stop, shot) in enumerate(_shots(whole, folder, command)):
        place = folder / f"shot{number}"
        place.mkdir()
        checks = scenes.decide(
            scenes.ScenesScores(
                length_s=stop - start, cut_off_s=0.0, no_picture_s=0.0, no_sound_s=_missing_s(shot, stop - start)
            ),
            SETTINGS.scenes,
        )
        reason = _failing(checks)
        if reason is None:
            every = max(1, round((stop - start) * 25) // SETTINGS.faces.samples)
            command(
                "sample frames",
                *_FFMPEG,
                "-i",
                str(shot),
                "-vf",
                f"select=not(mod(n\\,{every}))",
                "-vsync",
                "0",
                str(place / "s%03d.jpg"),
            )
            reason = python("faces", place)
        if reason is not None:
            verdicts.append((start, stop, reason))
            continue
        command("silence", *_FFMPEG, "-i", str(shot), *sound, str(place / "sound.wav"))
        for low, high, speech in python("silence", place):
            begin, end = low / 25, high / 25
            if speech is not None:
                verdicts.append((start + begin, start + end, speech))
                continue
            part = place / f"part{low}"
            part.mkdir()
            cut = part / "part.mp4"
            command(
                "cut", *_FFMPEG, "-ss", f"{begin}", "-to", f"{end}", "-i", str(shot), "-crf", "18", *sound, str(cut)
            )
            command("all frames", *_FFMPEG, "-i", str(cut), "-qscale:v", "2", str(part / "%05d.jpg"))
            command("all frames", *_FFMPEG, "-i", str(cut), *sound, str(part / "sound.wav"))
            reason = next((told for step in ("track", "sync", "quality") if (told := python(step, part))), None)
            if reason is None:
                words = ("-framerate", "25", "-i", str(part / "crop%05d.jpg"), "-i", str(part / "sound.wav"))
                command("encode", *_FFMPEG, *words, "-crf", "20", "-pix_fmt", "yuv420p", str(part / "clip.mp4"))
            verdicts.append((start + begin, start + end, reason or "kept"))
    return verdicts


def _shots(whole: Path, folder: Path, command: Callable[..., None]) -> list[tuple[float, float, Path]]:
    """scenedetect's command line cuts the file; where there is no cut, the file is the shot."""
    config = SETTINGS.scenes
    words = ("detect-adaptive", "-t", str(config.adaptive_threshold), "-c", str(config.adaptive_min_content))
    length = ("-m", f"{config.min_cut_distance_s}s")
    program = str(Path(sys.executable).with_name("scenedetect"))
    out = folder / "shots"
    command(
        "shots", program, "-q", "-i", str(whole), "-o", str(out), *length, *words, "list-scenes", "-q", "split-video"
    )
    table = next(iter(out.glob("*Scenes.csv")), None)
    rows = [line.split(",") for line in table.read_text().splitlines()[2:]] if table else []
    files = sorted(out.glob("*.mp4"))
    if len(files) < 2 or len(rows) != len(files):
        return [(0.0, _length_s(whole), whole)]
    return [(float(row[3]), float(row[6]), file) for row, file in zip(rows, files, strict=True)]


def _length_s(path: Path) -> float:
    words = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=duration", "-of", "csv=p=0"]
    return float(subprocess.run([*words, str(path)], check=True, capture_output=True, text=True).stdout.strip() or 0)


def _missing_s(shot: Path, length_s: float) -> float:
    words = ["ffprobe", "-v", "error", "-select_streams", "a:0", "-show_entries", "stream=duration", "-of", "csv=p=0"]
    told = subprocess.run([*words, str(shot)], check=True, capture_output=True, text=True).stdout.strip()
    return max(0.0, length_s - float(told)) if told and told != "N/A" else length_s


def _failing(checks: tuple[Check, ...]) -> str | None:
    return next((f"{check.stage}/{check.reason}" for check in checks if check.passed is False), None)


# -- the Python steps: each reads what the one before left on disk ------------------------------------------------------


def run_step(step: str, place: Path, tools: Detectors) -> Any:
    """One step in this process."""
    return {"faces": _faces, "silence": _silence, "track": _track, "sync": _sync, "quality": _quality}[step](
        place, tools
    )


def _faces(place: Path, tools: Detectors) -> str | None:
    pictures = [cv2.imread(str(path)) for path in sorted(place.glob("s*.jpg"))][: SETTINGS.faces.samples]
    height, width = pictures[0].shape[:2]
    scale = min(1.0, SETTINGS.faces.side_px / max(height, width))
    found = []
    for picture in pictures:
        small = cv2.resize(picture, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
        found.append(tuple(tools.dlib.detect(grey, scale, SETTINGS.faces.upsample, SETTINGS.faces.min_score)))
    return _failing(faces.decide(faces.measure(tuple(found), width, height), SETTINGS.faces))


def _silence(place: Path, tools: Detectors) -> list[tuple[int, int, str | None]]:
    samples, _ = soundfile.read(place / "sound.wav", dtype="int16")
    shot = Span(0, len(samples) // 640)
    stretches = silence.measure(shot, samples[: shot.frames * 640], split_silence, SETTINGS.silence)
    return [
        (one.span.start_frame, one.span.stop_frame, _failing(silence.decide(one, SETTINGS.silence)))
        for one in stretches
    ]


def _pictures(place: Path, pattern: str) -> list[np.ndarray]:
    return [cv2.imread(str(path)) for path in sorted(place.glob(pattern))]


def _track(place: Path, tools: Detectors) -> str | None:
    pictures = _pictures(place, "0*.jpg")
    height, width = pictures[0].shape[:2]
    scale = min(1.0, SETTINGS.track.side_px / max(height, width))
    size = round(width * scale), round(height * scale)

    def detect(frames: Any) -> list[Any]:  # one picture at a time, every frame
        found = []
        for i in frames:
            small = pictures[i] if scale == 1 else cv2.resize(pictures[i], size, interpolation=cv2.INTER_AREA)
            found += tools.faces([small], scale, SETTINGS.track)
        return found

    found = next(iter(tracking.measure(len(pictures), detect, width, height, replace(SETTINGS.track, every=1))), None)
    reason = _failing(tracking.decide(found, SETTINGS.track))
    if reason is None and found is not None:
        for t, picture in enumerate(pictures):
            x, y = found.window.centres_T2[t]
            cv2.imwrite(
                str(place / f"crop{t + 1:05d}.jpg"), crop.crop_square(picture, (x, y), found.window.side_px, 224)
            )
        mouths = found.mouths_T2
        np.savez(
            place / "track.npz",
            boxes=found.boxes_T4,
            centres=found.window.centres_T2,
            side=found.window.side_px,
            mouths=np.zeros(0) if mouths is None else mouths,
        )
    return reason


def _loaded(place: Path) -> tracking.Track:
    with np.load(place / "track.npz") as data:
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


def _sync(place: Path, tools: Detectors) -> str | None:
    crops = refining.FaceCrops(face_THWC=np.stack(_pictures(place, "crop*.jpg")), sync_THWC=None)
    samples, _ = soundfile.read(place / "sound.wav", dtype="int16")
    whole = np.zeros(len(crops.face_THWC) * 640, np.int16)
    whole[: len(samples)] = samples[: len(whole)]
    heard = refining.score_sync(crops, _loaded(place), whole, SETTINGS.sync, tools)
    return _failing(sync.decide(heard, SETTINGS.sync))


def _quality(place: Path, tools: Detectors) -> str | None:
    pictures, crops = _pictures(place, "0*.jpg"), _pictures(place, "crop*.jpg")
    config = SETTINGS.quality
    height, width = pictures[0].shape[:2]
    scale = min(1.0, config.side_px / max(height, width))
    size = max(16, round(width * scale)), max(16, round(height * scale))
    small = [crop.resize_grey(crop.to_grey(one), *size) for one in pictures[:: config.every]]
    grey = np.stack([crop.to_grey(one) for one in crops])
    shown = overlay.find_overlay(small) if len(pictures) / 25 >= config.watermark_min_s else None
    scores = quality.QualityScores(
        sharpness=float(np.median([crop.sharpness(one) for one in grey[:: config.every]])),
        frozen_s=quality.frozen_s(grey, config.frozen_level),
        black_share=quality.black_share(grey, config.black_level),
        bars=quality.bars_in_window(small, scale, _loaded(place).window),
        overlay_px=None if shown is None else float(shown.edge_px),
    )
    return _failing(quality.decide(scores, config))


# -- processes ----------------------------------------------------------------------------------------------------------


def _forked(step: str, place: Path, tools: Detectors) -> Any:
    """In a child that starts with all imports and models loaded."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.write(writer, json.dumps(run_step(step, place, tools)).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        told = file.read()
    _, ended = os.waitpid(pid, 0)
    if ended:
        raise RuntimeError(f"step {step} of {place} failed")
    return json.loads(told)


def _fresh(step: str, place: Path, weights: Path) -> Any:
    words = [sys.executable, "-m", "benchmarks.stepwise", step, str(place), str(weights)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    print(
        json.dumps(
            run_step(sys.argv[1], Path(sys.argv[2]), Detectors(resolve_backends(load_recipe(), Path(sys.argv[3]))))
        )
    )
