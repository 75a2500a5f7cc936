"""Measure the start-up of commands that answer or refuse at once: CPU seconds of whole processes."""

import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from support.runs import make_run

from benchmarks.table import Section

TIMES = 7
BEFORE = {"status": 1.36, "explain": 1.39, "audit": 1.48, "pretrain": 2.75, "predict": 2.34}
"""Measured on the same machine while pyarrow imported pandas and every command the modules of others."""
_PROGRAM = "import sys; from {package}.cli.main import main; main({words!r})"


def run() -> list[Section]:
    with tempfile.TemporaryDirectory() as name:
        folder = str(make_run(Path(name)).root)
        notes = Path(name, "notes.txt")
        notes.write_text("no video")
        commands = {
            "avf-curate status": [folder],
            "avf-curate explain": [folder, "000.mp4"],
            "avf-curate audit": [folder],
            "avf-curate calibrate": [folder, "--source", "made"],
            "avf-train describe": [],
            "avf-train datasets": [],
            "avf-train pretrain, no such recipe": ["--recipe", "nono", "--shards", folder, "--out", f"{name}/out"],
            "avf-train predict, no video": [str(notes), "--model", folder],
        }
        programs = {}
        for title, words in commands.items():
            program, command = title.partition(",")[0].split()
            package = {"avf-curate": "avf_curation", "avf-train": "avf_training"}[program]
            programs[title] = _PROGRAM.format(package=package, words=[command, *words])
        programs |= {"python": "", "import numpy, pyarrow": "import numpy, pyarrow, pyarrow.parquet"}
        seconds: dict[str, list[float]] = {program: [] for program in programs}
        for _ in range(TIMES):
            for program, code in programs.items():
                seconds[program].append(_cpu_s(code))
    rows = [["process", "CPU s", "before"]] + [
        [
            program,
            f"{statistics.median(values):.2f}",
            f"{BEFORE[key]:.2f}" if (key := program.partition(",")[0].split()[-1]) in BEFORE else "",
        ]
        for program, values in seconds.items()
    ]
    note = (
        f"CPU seconds of a process, median of {TIMES}, the processes in turns, on a run of a few clips. Before: pyarrow "
        "imports pandas, where that is installed, at its first conversion, and torch was loaded before a mistake was "
        "looked for; neither is needed."
    )
    return [Section("Start-up", note, rows)]


def _cpu_s(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
