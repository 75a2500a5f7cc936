"""Five thousand small files with flipped and cut bytes: no crash, no hang, every one accounted for."""

import random
import tempfile
import time
from pathlib import Path

from avf_curation.audit.funnel import summarize_run
from avf_curation.demo.corpus import demo_videos, encode_demo_video
from avf_curation.demo.video import ShotScript, VideoScript, encode_video
from avf_curation.detectors.detector_set import BackendSelection
from avf_curation.recipe import load_recipe
from avf_curation.runs.curation import RunOptions, curate

from benchmarks.table import Section

FILES, BATCH = 5000, 250


def run() -> list[Section]:
    settings = ["faces.samples=1", "faces.side_px=120", "track.side_px=120"]
    (mute,) = [video for video in demo_videos() if video.path == "archive/no_sound.mp4"]
    bases = [
        encode_video(VideoScript(shots=(ShotScript(frames=50, speakers=(0,), seed=1),))),
        encode_demo_video(mute)[:60_000],
    ]
    counts = {"videos": 0, "kept": 0, "rejected": 0, "failed": 0, "broken law": 0}
    start = time.monotonic()
    for batch in range(FILES // BATCH):
        with tempfile.TemporaryDirectory() as name:
            source = Path(name) / "in"
            source.mkdir()
            draw = random.Random(batch)
            for number in range(BATCH):
                (source / f"{number:03d}.mp4").write_bytes(damaged(draw.choice(bases), draw))
            done = curate(
                load_recipe(None, settings),
                BackendSelection(track="dlib", sync="envelope", weights={}),
                {"s": source},
                Path(name) / "run",
                RunOptions(engine="inline"),
            )
            result = summarize_run(done)
            statuses = done.ledger()["status"].to_pylist()
            counts["videos"] += result.totals["videos"]
            counts["broken law"] += len(result.law_broken_by)
            for status in ("kept", "rejected", "failed"):
                counts[status] += statuses.count(status)
    rows = [
        ["files", "accounted for", "kept spans", "rejected", "failed", "broken tilings", "seconds"],
        [str(FILES), *(str(value) for value in counts.values()), f"{time.monotonic() - start:.0f}"],
    ]
    return [Section("Fuzz", "1 to 300 bytes changed, four in ten also cut short; inline, one process for all.", rows)]


def damaged(base: bytes, draw: random.Random) -> bytes:
    """`base` with some bytes changed and perhaps its end cut off."""
    data = bytearray(base)
    for _ in range(draw.choice([1, 3, 30, 300])):
        data[draw.randrange(len(data))] = draw.randrange(256)
    if draw.random() < 0.4:
        del data[draw.randrange(len(data)) :]
    return bytes(data)
