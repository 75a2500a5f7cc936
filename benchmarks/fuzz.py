"""Curate five thousand small files with changed and missing bytes: no crash, no hang, and every file is accounted for."""

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
    (silent,) = [video for video in demo_videos() if video.path == "archive/no_sound.mp4"]
    bases = [
        encode_video(VideoScript(shots=(ShotScript(frames=50, speakers=(0,), seed=1),))),
        encode_demo_video(silent)[:60_000],
    ]
    counts = {"videos": 0, "kept": 0, "rejected": 0, "failed": 0, "accounting errors": 0}
    start = time.monotonic()
    for batch in range(FILES // BATCH):
        with tempfile.TemporaryDirectory() as name:
            source = Path(name) / "in"
            source.mkdir()
            draw = random.Random(batch)
            for number in range(BATCH):
                (source / f"{number:03d}.mp4").write_bytes(damage(draw.choice(bases), draw))
            run_folder = curate(
                load_recipe(None, settings),
                BackendSelection(track="dlib", sync="envelope", weights={}),
                {"s": source},
                Path(name) / "run",
                RunOptions(engine="inline"),
            )
            summary = summarize_run(run_folder)
            statuses = run_folder.ledger()["status"].to_pylist()
            counts["videos"] += summary.totals["videos"]
            counts["accounting errors"] += len(summary.accounting_errors)
            for status in ("kept", "rejected", "failed"):
                counts[status] += statuses.count(status)
    rows = [
        ["files", "accounted for", "kept spans", "rejected", "failed", "accounting errors", "seconds"],
        [str(FILES), *(str(value) for value in counts.values()), f"{time.monotonic() - start:.0f}"],
    ]
    return [Section("Fuzz", "1 to 300 bytes changed, four in ten also cut short; inline, one process for all.", rows)]


def damage(base: bytes, draw: random.Random) -> bytes:
    """Return `base` with some bytes changed, and in four of ten cases its end cut off."""
    data = bytearray(base)
    for _ in range(draw.choice([1, 3, 30, 300])):
        data[draw.randrange(len(data))] = draw.randrange(256)
    if draw.random() < 0.4:
        del data[draw.randrange(len(data)) :]
    return bytes(data)
