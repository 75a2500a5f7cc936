"""Measure the core-seconds of each stage on a clip of 8 s, 224 x 224, and the cold start of a process."""

import io
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from avf_curation.demo.video import HEIGHT, WIDTH, ShotScript, shot_frames
from avf_curation.detectors.detector_set import BackendSelection, Detectors
from avf_curation.detectors.librosa_split import split_silence
from avf_curation.detectors.shipped_weights import SYNC_HEAD
from avf_curation.detectors.weights import KNOWN
from avf_curation.media.decode import MediaFile
from avf_curation.media.types import AudioTrack, VideoTrack
from avf_curation.pipeline import refining
from avf_curation.pipeline.screening import screen_shots
from avf_curation.recipe import load_recipe
from avf_curation.stages import silence
from avf_shards.timeline import SAMPLE_RATE_HZ, Span

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
        Section("Cold start", "Wall seconds until a fresh process has loaded its detectors.", cold),
    ]


def clip_224() -> bytes:
    """Return an MP4 with eight seconds of a drawn speaker, cropped to a square."""
    drawn, samples = shot_frames(ShotScript(frames=FRAMES, speakers=(0,), seed=100))
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4") as out:
        video = out.add_stream("libx264", rate=25, options={"crf": "20"})
        video.width, video.height, video.pix_fmt = 224, 224, "yuv420p"
        sound = out.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono")
        crop_x = (WIDTH - 300) // 2
        for t, image in enumerate(drawn):
            small = cv2.resize(image[HEIGHT - 330 : HEIGHT - 30, crop_x : crop_x + 300], (224, 224))
            frame = av.VideoFrame.from_ndarray(np.asarray(small, np.uint8), format="bgr24")
            frame.pts, frame.time_base = t, Fraction(1, 25)
            out.mux(video.encode(frame))
        for offset in range(0, len(samples), 1024):
            block = av.AudioFrame.from_ndarray(samples[offset : offset + 1024].astype("f4")[None], "fltp", "mono")
            block.sample_rate, block.pts = SAMPLE_RATE_HZ, offset
            out.mux(sound.encode(block))
        out.mux(video.encode(None))
        out.mux(sound.encode(None))
    return sink.getvalue()


def _rows(path: Path) -> list[list[str]]:
    settings = load_recipe().defaults
    detectors = Detectors(BackendSelection(track="dlib", sync="envelope", weights={}))

    def screen() -> tuple[MediaFile, VideoTrack, AudioTrack]:
        """Open the file, decode its video once and its sound."""
        media = MediaFile(path, settings.media)
        video_track, _ = screen_shots(
            media, settings.scenes, settings.faces, detectors.face_finder, dlib=detectors.dlib
        )
        audio_track = media.audio(video_track.frames)
        assert audio_track is not None
        return media, video_track, audio_track

    media, video_track, audio_track = screen()
    span = Span(0, video_track.frames)
    samples = audio_track.cut(span)
    split_silence(samples, settings.silence)
    frames = refining.decode_for_detector(media, span, settings.track.side_px, detectors)
    (track, *_) = refining.track_faces(frames, detectors, settings.track) or (None,)
    assert track is not None
    crops = refining.crop_clip(media, frames, track, settings, detectors)
    media.close()
    parts = {
        "scenes + faces + sound (one decode)": cpu_s(lambda: screen()[0].close(), 5),
        "silence": cpu_s(lambda: silence.measure(span, samples, split_silence, settings.silence), 5),
        "sync: envelope": cpu_s(lambda: refining.score_sync(crops, track, samples, settings.sync, detectors), 5),
        "quality": cpu_s(lambda: refining.score_quality(frames, crops, track, settings.quality), 5),
    }
    rows = [["stage", "core-seconds", "target"]]
    rows += [[name, f"{value:.3f}", ""] for name, value in parts.items()]
    rows.append(["**scenes + faces + silence + quality + envelope**", f"**{sum(parts.values()):.3f}**", "0.5"])
    learned = Detectors(BackendSelection(track="dlib", sync="learned", weights={"sync_head": SYNC_HEAD.path}))
    learned_s = cpu_s(lambda: refining.score_sync(crops, track, samples, settings.sync, learned), 5)
    rows.append(["sync: learned network, with the envelope in it", f"{learned_s:.3f}", ""])
    second = cpu_s(
        lambda: refining.crop_clip(MediaFile(path, settings.media), frames, track, settings, detectors),
        5,
    )
    rows.append(["crop (second decode where the detector's frames are smaller than the video)", f"{second:.3f}", ""])
    rows.append(["track: dlib", f"{cpu_s(lambda: refining.track_faces(frames, detectors, settings.track)):.3f}", ""])
    weights = SHARED / "assets/weights" / KNOWN["retinaface_mobilenet"].file_name
    if weights.is_file():
        mobile = Detectors(
            BackendSelection(track="retinaface-mobilenet", sync="envelope", weights={"retinaface": weights})
        )
        rows.append(
            [
                "track: RetinaFace MobileNet",
                f"{cpu_s(lambda: refining.track_faces(frames, mobile, settings.track)):.3f}",
                "",
            ]
        )
    encode_s = cpu_s(lambda: refining.encode_clip(crops, audio_track, span, 0, settings))
    rows.append(["encode: mp4 (x264 medium) and FLAC", f"{encode_s:.3f}", "0.57 reference"])
    return rows


def _cold() -> list[list[str]]:
    code = (
        "import time; t=time.time()\n"
        "from avf_curation.detectors.detector_set import BackendSelection, Detectors\n"
        "Detectors(BackendSelection(track='dlib', sync='envelope', weights={})); a=time.time()-t\n"
        "import numpy as np\nfrom avf_curation.detectors.librosa_split import split_silence\n"
        "from avf_curation.recipe import load_recipe\n"
        "t=time.time(); split_silence(np.ones(16000,'i2'), load_recipe().defaults.silence); print(a, time.time()-t)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imports_s, split_s = (float(text) for text in process.stdout.split())
    return [
        ["step", "seconds"],
        ["imports, dlib, torch", f"{imports_s:.1f}"],
        ["first split at silence", f"{split_s:.1f}"],
    ]
