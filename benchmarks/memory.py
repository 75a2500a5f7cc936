"""Measure the peak memory of a separate process that curates a 60-minute 1080p video."""

import io
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from avf_curation.demo.backgrounds import draw_background
from avf_curation.demo.face_renderer import Pose, draw_speaker, make_speaker
from avf_curation.demo.speech import speak
from avf_shards.timeline import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME

from benchmarks.table import Section

MINUTES = 60
_CHILD = """
import resource, sys, time
from pathlib import Path
from avf_curation.recipe import load_recipe
from avf_curation.runs.curation import RunOptions, curate
from avf_curation.detectors.detector_set import BackendSelection
start = time.time()
run = curate(load_recipe(), BackendSelection(track="dlib", sync="envelope", weights={}), {"long": Path(sys.argv[1])}, Path(sys.argv[2]), RunOptions(engine="inline"))
clips = sum(len(clips) for clips in run.ledger()["clips"].to_pylist())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000, clips, time.time() - start)
"""


def run() -> list[Section]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "in"
        folder.mkdir()
        (folder / "hour.mp4").write_bytes(encode_long_video(MINUTES))
        process = subprocess.run(
            [sys.executable, "-c", _CHILD, str(folder), str(Path(name) / "run")],
            capture_output=True,
            text=True,
            check=True,
        )
    peak_mb, clips, seconds = process.stdout.split()[-3:]
    rows = [
        ["video", "clips kept", "peak MB", "target MB", "wall s"],
        [f"{MINUTES} min, 1920x1080", clips, f"{float(peak_mb):.0f}", "1500", f"{float(seconds):.0f}"],
    ]
    note = "A talking head in every fourth ten-second piece, an empty room between; dlib and envelope, one thread."
    return [Section("Memory", note, rows)]


def encode_long_video(minutes: int) -> bytes:
    """Return an MP4 that repeats two pieces of ten seconds, a speaker and an empty room; each is encoded once."""
    speaker, room = _piece(True), _piece(False)
    pieces = [speaker if n % 4 == 0 else room for n in range(minutes * 6)]
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4") as out:
        with av.open(io.BytesIO(speaker), "r") as first:
            video, sound = (out.add_stream_from_template(stream) for stream in first.streams)
        for number, piece in enumerate(pieces):
            with av.open(io.BytesIO(piece), "r") as source:
                for packet in source.demux():
                    if packet.dts is None or packet.pts is None or packet.time_base is None:
                        continue
                    shift = int(number * 10 / packet.time_base)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = video if packet.stream.type == "video" else sound
                    out.mux(packet)
    return sink.getvalue()


def _piece(speaks: bool) -> bytes:
    speech = speak(250, 120, 4)
    samples = speech.samples if speaks else speech.samples * 0
    background = draw_background(3 if speaks else 8, 1920, 1080)
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4") as out:
        video = out.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "26", "bf": "0"})
        video.width, video.height, video.pix_fmt = 1920, 1080, "yuv420p"
        sound = out.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono")
        for t in range(250):
            frame = background.copy()
            if speaks:
                draw_speaker(
                    frame,
                    make_speaker(1),
                    Pose(x=960 + 20 * np.sin(t / 20), y=480, height=420, roll=0.0, mouth=float(speech.mouth_T[t])),
                )
            video_frame = av.VideoFrame.from_ndarray(
                np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8), format="rgb24"
            )
            video_frame.pts, video_frame.time_base = t, Fraction(1, 25)
            out.mux(video.encode(video_frame))
            if t % 8 == 7:
                block = samples[(t - 7) * SAMPLES_PER_FRAME : (t + 1) * SAMPLES_PER_FRAME].astype(np.float32)[None]
                for offset in range(0, 5120, 1024):
                    audio = av.AudioFrame.from_ndarray(
                        np.ascontiguousarray(block[:, offset : offset + 1024]), "fltp", "mono"
                    )
                    audio.sample_rate, audio.pts = SAMPLE_RATE_HZ, (t - 7) * SAMPLES_PER_FRAME + offset
                    out.mux(sound.encode(audio))
        out.mux(video.encode(None))
        out.mux(sound.encode(None))
    return sink.getvalue()
