"""Core-seconds per 8 s clip of 224x224: screening, quality, sync; encoding and each tracker apart; cold start apart."""

import io
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import cv2
from avf_curation.demo.video import HEIGHT, WIDTH, ShotScript, shot_frames
from avf_curation.detectors.detector_set import BackendSelection, Detectors
from avf_curation.detectors.librosa_split import split_silence
from avf_curation.detectors.weights import KNOWN
from avf_curation.media.decode import MediaFile
from avf_curation.pipeline import refining
from avf_curation.pipeline.screening import screen_shots
from avf_curation.recipe import load_recipe
from avf_curation.stages import silence
from avf_shards.timeline import Span

from benchmarks.table import SHARED, Section, cpu_s

FRAMES = 200


def run() -> list[Section]:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "clip.mp4"
        path.write_bytes(clip_224())
        rows = _rows(path)
    cold = _cold()
    note = "One clip of 8 s, 224x224, H.264 and AAC, like VoxCeleb2's; warm; median of five; CPU seconds of one thread."
    return [
        Section("Stages", note, rows),
        Section("Cold start", "Wall seconds until a fresh process has its tools.", cold),
    ]


def clip_224() -> bytes:
    """Eight seconds of a drawn talker, cropped square."""
    pictures, samples = shot_frames(ShotScript(frames=FRAMES, speakers=(0,), seed=100))
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4") as out:
        video = out.add_stream("libx264", rate=25, options={"crf": "20"})
        video.width, video.height, video.pix_fmt = 224, 224, "yuv420p"
        sound = out.add_stream("aac", rate=16_000, layout="mono")
        left = (WIDTH - 300) // 2
        for t, picture in enumerate(pictures):
            small = cv2.resize(picture[HEIGHT - 330 : HEIGHT - 30, left : left + 300], (224, 224))
            frame = av.VideoFrame.from_ndarray(small, format="bgr24")
            frame.pts, frame.time_base = t, Fraction(1, 25)
            out.mux(video.encode(frame))
        for at in range(0, len(samples), 1024):
            one = av.AudioFrame.from_ndarray(samples[at : at + 1024].astype("f4")[None], "fltp", "mono")
            one.sample_rate, one.pts = 16_000, at
            out.mux(sound.encode(one))
        out.mux(video.encode(None))
        out.mux(sound.encode(None))
    return sink.getvalue()


def _rows(path: Path) -> list[list[str]]:
    settings = load_recipe().defaults
    tools = Detectors(BackendSelection(track="dlib", sync="envelope", weights={}))

    def opened() -> tuple[MediaFile, object, object]:
        media = MediaFile(path, settings.media)
        picture, _ = screen_shots(media, settings.scenes, settings.faces, tools.dlib)
        return media, picture, media.audio(picture.frames)

    media, picture, sound = opened()
    span = Span(0, picture.frames)
    samples = sound.cut(span)
    split_silence(samples, settings.silence)
    seen = refining.decode_for_detector(media, span, settings.track.side_px, tools)
    (found, *_) = refining.track_faces(seen, tools, settings.track) or (None,)
    assert found is not None
    crops = refining.crop_clip(media, seen, found, settings, tools, with_sync=False)
    media.close()
    parts = {
        "scenes + faces + sound (one decode)": cpu_s(lambda: opened()[0].close(), 5),
        "silence": cpu_s(lambda: silence.measure(span, samples, split_silence, settings.silence), 5),
        "sync: envelope": cpu_s(lambda: refining.score_sync(crops, found, samples, settings.sync, tools), 5),
        "quality": cpu_s(lambda: refining.score_quality(seen, crops, found, settings.quality), 5),
    }
    rows = [["what", "core-seconds", "target"]]
    rows += [[name, f"{value:.3f}", ""] for name, value in parts.items()]
    rows.append(["**scenes + faces + silence + quality + envelope**", f"**{sum(parts.values()):.3f}**", "0.5"])
    second = cpu_s(
        lambda: refining.crop_clip(media_again(path, settings), seen, found, settings, tools, with_sync=False), 5
    )
    rows.append(["crop (second decode where the detector saw less than full size)", f"{second:.3f}", ""])
    rows.append(["track: dlib", f"{cpu_s(lambda: refining.track_faces(seen, tools, settings.track)):.3f}", ""])
    weights = SHARED / "assets/weights" / KNOWN["retinaface_mobilenet"].file_name
    if weights.is_file():
        mobile = Detectors(
            BackendSelection(track="retinaface-mobilenet", sync="envelope", weights={"retinaface": weights})
        )
        rows.append(
            [
                "track: RetinaFace MobileNet",
                f"{cpu_s(lambda: refining.track_faces(seen, mobile, settings.track)):.3f}",
                "",
            ]
        )
    stored = cpu_s(lambda: refining.encode_clip(crops, sound, span, 0, settings))
    rows.append(["encode: mp4 (x264 medium) and FLAC", f"{stored:.3f}", "0.57 reference"])
    return rows


def media_again(path: Path, settings) -> MediaFile:
    return MediaFile(path, settings.media)


def _cold() -> list[list[str]]:
    code = (
        "import time; t=time.time()\n"
        "from avf_curation.detectors.detector_set import BackendSelection, Detectors\n"
        "Detectors(BackendSelection(track='dlib', sync='envelope', weights={})); a=time.time()-t\n"
        "import numpy as np\nfrom avf_curation.detectors.librosa_split import split_silence\n"
        "from avf_curation.recipe import load_recipe\n"
        "t=time.time(); split_silence(np.ones(16000,'i2'), load_recipe().defaults.silence); print(a, time.time()-t)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    tools, librosa = (float(word) for word in done.stdout.split())
    return [["what", "seconds"], ["imports, dlib, torch", f"{tools:.1f}"], ["first librosa split", f"{librosa:.1f}"]]
