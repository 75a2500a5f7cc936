"""Measure the start-up of commands that read a run: CPU seconds of whole processes on a run of a few clips."""

import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from support.runs import make_run

from benchmarks.table import Section

TIMES = 7
BEFORE = {"status": 1.36, "explain": 1.39, "audit": 1.48}
"""Measured on the same machine while pyarrow imported pandas and every command the modules of others."""


def run() -> list[Section]:
    with tempfile.TemporaryDirectory() as name:
        folder = str(make_run(Path(name)).root)
        commands = {"status": ["status", folder], "explain": ["explain", folder, "000.mp4"], "audit": ["audit", folder]}
        programs = {
            f"avf-curate {command}": f"import sys; from avf_curation.cli.main import main; sys.exit(main({words!r}))"
            for command, words in commands.items()
        }
        programs |= {"python": "", "import numpy, pyarrow": "import numpy, pyarrow, pyarrow.parquet"}
        seconds: dict[str, list[float]] = {program: [] for program in programs}
        for _ in range(TIMES):
            for program, code in programs.items():
                seconds[program].append(_cpu_s(code))
    rows = [["process", "CPU s", "before"]] + [
        [
            program,
            f"{statistics.median(values):.2f}",
            f"{BEFORE[key]:.2f}" if (key := program.split()[-1]) in BEFORE else "",
        ]
        for program, values in seconds.items()
    ]
    note = (
        f"CPU seconds of a process, median of {TIMES}, the processes in turns, on a run of a few clips. Before: pyarrow "
        "imports pandas, where that is installed, at its first conversion; no code here needs it."
    )
    return [Section("Start-up", note, rows)]


def _cpu_s(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
