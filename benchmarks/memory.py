"""Peak memory of a worker on a 60-minute 1080p video, in a process of its own."""

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
kept = sum(len(clips) for clips in run.ledger()["clips"].to_pylist())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000, kept, time.time() - start)
"""


def run() -> list[Section]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "in"
        folder.mkdir()
        (folder / "hour.mp4").write_bytes(film(MINUTES))
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, str(folder), str(Path(name) / "run")],
            capture_output=True,
            text=True,
            check=True,
        )
    peak_mb, kept, seconds = done.stdout.split()[-3:]
    rows = [
        ["video", "clips kept", "peak MB", "target MB", "wall s"],
        [f"{MINUTES} min, 1920x1080", kept, f"{float(peak_mb):.0f}", "1500", f"{float(seconds):.0f}"],
    ]
    note = "A talking head in every fourth ten-second piece, an empty room between; dlib and envelope, one thread."
    return [Section("Memory", note, rows)]


def film(minutes: int) -> bytes:
    """Two ten-second pieces, a talker and an empty room, encoded once and repeated."""
    talker, room = _piece(True), _piece(False)
    pieces = [talker if n % 4 == 0 else room for n in range(minutes * 6)]
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4") as out:
        with av.open(io.BytesIO(talker)) as first:
            video, sound = (out.add_stream_from_template(stream) for stream in first.streams)
        for number, piece in enumerate(pieces):
            with av.open(io.BytesIO(piece)) as source:
                for packet in source.demux():
                    if packet.dts is None:
                        continue
                    shift = int(number * 10 / packet.time_base)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = video if packet.stream.type == "video" else sound
                    out.mux(packet)
    return sink.getvalue()


def _piece(talks: bool) -> bytes:
    said = speak(250, 120, 4)
    samples = said.samples if talks else said.samples * 0
    wall = draw_background(3 if talks else 8, 1920, 1080)
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4") as out:
        video = out.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "26", "bf": "0"})
        video.width, video.height, video.pix_fmt = 1920, 1080, "yuv420p"
        sound = out.add_stream("aac", rate=16_000, layout="mono")
        for t in range(250):
            frame = wall.copy()
            if talks:
                draw_speaker(
                    frame,
                    make_speaker(1),
                    Pose(x=960 + 20 * np.sin(t / 20), y=480, height=420, roll=0.0, mouth=float(said.mouth_T[t])),
                )
            picture = av.VideoFrame.from_ndarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), format="rgb24")
            picture.pts, picture.time_base = t, Fraction(1, 25)
            out.mux(video.encode(picture))
            if t % 8 == 7:
                one = samples[(t - 7) * 640 : (t + 1) * 640].astype(np.float32)[None]
                for at in range(0, 5120, 1024):
                    audio = av.AudioFrame.from_ndarray(np.ascontiguousarray(one[:, at : at + 1024]), "fltp", "mono")
                    audio.sample_rate, audio.pts = 16_000, (t - 7) * 640 + at
                    out.mux(sound.encode(audio))
        out.mux(video.encode(None))
        out.mux(sound.encode(None))
    return sink.getvalue()
