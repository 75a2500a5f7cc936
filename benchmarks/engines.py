"""Compare Ray with one and two workers against one inline process, on the demo corpus."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from avf_curation.demo.corpus import write_corpus

from benchmarks.table import Section

_RUN = """
import json, os, sys, time
from pathlib import Path
from avf_curation.execution.cluster import ClusterConfig
from avf_curation.recipe import load_recipe
from avf_curation.runs.curation import RunOptions, curate
from avf_curation.detectors.detector_set import BackendSelection
folder, out, engine, workers = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
if engine == "inline":
    os.sched_setaffinity(0, {0})  # decoding has a thread of its own, which a second core would help
marks = []
start = time.time()
curate(load_recipe(None, ["plan.unit_videos=1"]), BackendSelection(track="dlib", sync="envelope", weights={}), {"s": folder}, out,
       RunOptions(engine=engine, cluster=ClusterConfig(workers=workers)), on_progress=lambda p: marks.append((p.units_done, time.time())))
lines = [json.loads(line) for line in open(out / "log/units.jsonl")]
work = sum(sum(line["stage_seconds"].values()) for line in lines)
# Warm: from the end of each worker's first unit, which holds its cold start, to the end of the last.
warm = [t for n, t in marks if n >= workers]
first = sorted(line["time"] for line in lines)[:workers]
print(time.time() - start, warm[-1] - warm[0], len(lines) - workers, work)
"""


def run() -> list[Section]:
    with tempfile.TemporaryDirectory() as name:
        write_corpus(Path(name) / "corpus")
        source = Path(name) / "source"
        source.mkdir()
        for copy in range(4):  # many equal units, so that the tail is short
            for video in sorted((Path(name) / "corpus/studio").glob("talk_*.mp4")):
                os.link(video, source / f"{copy}_{video.name}")
        figures = {}
        for engine, workers in (("inline", 1), ("ray", 1), ("ray", 2)):
            out = Path(name) / f"{engine}{workers}"
            process = subprocess.run(
                [sys.executable, "-c", _RUN, str(source), str(out), engine, str(workers)],
                capture_output=True,
                text=True,
                check=True,
            )
            figures[engine, workers] = [float(text) for text in process.stdout.split()[-4:]]
            time.sleep(2)
    inline, ray_1, ray_2 = figures["inline", 1], figures["ray", 1], figures["ray", 2]
    unit_s = {key: value[1] / value[2] for key, value in figures.items()}  # warm
    rows = [
        ["", "whole run, wall s", "warm s a unit", "against inline", "target"],
        ["inline, one core", f"{inline[0]:.1f}", f"{unit_s['inline', 1]:.2f}", "1", ""],
        [
            "ray, 1 worker",
            f"{ray_1[0]:.1f}",
            f"{unit_s['ray', 1]:.2f}",
            f"{unit_s['inline', 1] / unit_s['ray', 1]:.2f}",
            "0.95",
        ],
        [
            "ray, 2 workers",
            f"{ray_2[0]:.1f}",
            f"{unit_s['ray', 2]:.2f}",
            f"{unit_s['inline', 1] / unit_s['ray', 2]:.2f}",
            "1.8",
        ],
    ]
    note = "Eighty units of one speaker of 4 or 8 s each, dlib and envelope. Warm: after every worker's first unit."
    return [Section("Engines", note, rows)]
