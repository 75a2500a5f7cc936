"""Ten thousand damaged and hostile files, curated as `avf-curate run` does it, in processes with a limit on memory."""

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from avf_curation.pipeline.failures import is_files_own
from avf_curation.runs.frozen_plan import read_plan
from avf_shards.format.run_folder import RunFolder

from benchmarks.faults.films import FORMATS, write_film
from benchmarks.faults.hostile import HOSTILE_KINDS, draw_hostile
from benchmarks.faults.mutations import mutate
from benchmarks.faults.trials import Trial

FILES = 10_000
BATCH = 200  # files that one process curates
_HOSTILE_SHARE = 0.2
_PROCESSES = 2
_GUARD_BYTES = 16_000_000_000  # RLIMIT_DATA of a worker: beyond its own limits, the machine's memory would end
_LIMIT_S = 1800  # of a batch; a decoder that hangs does not come back
# The film is short and its face small; stages that decode nothing are left out, and frames of the face are few.
_SETTINGS = (
    *("plan.unit_videos=20", "plan.min_units=1", "silence.speech_backend=none", "silence.min_clip_s=0.4"),
    *("scenes.min_shot_s=0.4", "faces.samples=1", "faces.side_px=160", "faces.upsample=0", "faces.min_face_px=24"),
    *("track.side_px=160", "track.min_face_px=32", "track.every=16", "gates.sync=skip", "gates.quality=skip"),
    *("clip.size_px=96", "clip.preset=ultrafast"),
)
_PROGRAM = """
import json, resource, sys
from avf_curation.cli.main import main
status = main(sys.argv[2:])
# ru_maxrss of a process counts what its parent had when it forked.
own_kb = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:"))
peak_kb = max(own_kb, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
with open(sys.argv[1], "w") as file:
    json.dump({"status": status, "peak_mb": peak_kb * 1024 / 1e6}, file)
"""


def try_files(count: int, skipped: frozenset[str]) -> Iterator[Trial]:
    """Yield what became of each of `count` files, a batch at a time; batches that `skipped` names are passed over."""
    batches = [(row, number) for row, number in _batches(count) if _case(row, number, 0) not in skipped]
    with ThreadPoolExecutor(_PROCESSES) as pool:
        for done in as_completed([pool.submit(_try_batch, *batch) for batch in batches]):
            yield from done.result()


def _batches(count: int) -> Iterator[tuple[str, int]]:
    """Yield the row and number of each batch, every row in turn, so that a part that is stopped has some of each."""
    hostile = round(count * _HOSTILE_SHARE / BATCH)
    kinds, formats = tuple(HOSTILE_KINDS), tuple(FORMATS)
    for number in range(max(hostile, round(count / BATCH) - hostile)):
        if number < round(count / BATCH) - hostile:
            yield formats[number % len(formats)], number // len(formats)
        if number < hostile:
            yield kinds[number % len(kinds)], number // len(kinds)


def _case(row: str, batch: int, number: int) -> str:
    return f"{row} {batch} {number:03d}"


def write_batch(row: str, batch: int, folder: Path) -> list[str]:
    """Write the files of a batch, which are the same each time; return their names."""
    names = []
    for number in range(BATCH):
        draw = random.Random(zlib.crc32(_case(row, batch, number).encode()))
        if row in HOSTILE_KINDS:
            ending, data = draw_hostile(row, draw)
            kind = "hostile"
        else:
            ending = FORMATS[row][0]
            kind, data = mutate(write_film(row), write_film(draw.choice(tuple(FORMATS))), draw)
        names.append(f"{number:03d}-{kind}.{ending}")
        (folder / names[-1]).write_bytes(data)
    return names


def _try_batch(row: str, batch: int) -> list[Trial]:
    with tempfile.TemporaryDirectory(prefix="avf-faults-") as name:
        source, run = Path(name, "in"), Path(name, "run")
        source.mkdir()
        names = write_batch(row, batch, source)
        status, peak_mb, error = _curate(source, run, Path(name), "--engine", "inline")
        if status != 0:
            # A decoder that crashes or hangs takes the inline engine with it; Ray gives the file a process of its own.
            first, first_peak_mb = f"inline: {status} {error}; ", peak_mb
            status, peak_mb, error = _curate(source, run, Path(name), "--engine", "ray", "--workers", "1")
            error, peak_mb = first + error, max(first_peak_mb, peak_mb)
        verdicts = _verdicts(RunFolder(run)) if status == 0 else {}
        trials = []
        for number, file in enumerate(names):
            outcome = verdicts.get(file, "lost" if status == 0 else "undecided")
            lost, silent = int(outcome == "lost"), int(outcome == "undecided" and not error)
            note = error if outcome == "undecided" or status != 0 else ""
            trials.append(
                Trial(
                    case=_case(row, batch, number),
                    row=row,
                    outcome=outcome,
                    lost=lost,
                    silent=silent,
                    peak_mb=round(peak_mb, 1),
                    note=f"{file} {note}".strip(),
                )
            )
        return trials


def _curate(source: Path, run: Path, folder: Path, *options: str) -> tuple[int, float, str]:
    """Return the exit status of `avf-curate run`, its highest memory in MB, and the end of what it said."""
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-c", _PROGRAM, str(report), "run", "--source", f"s={source}", "--out", str(run)]
    command += [*options, *(word for setting in _SETTINGS for word in ("--set", setting))]
    try:
        done = subprocess.run(
            command,
            env=os.environ | {"OMP_NUM_THREADS": "1", "HOME": str(folder)},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LIMIT_S,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (_GUARD_BYTES, _GUARD_BYTES)),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return -1, 0.0, f"no end after {_LIMIT_S} s"
    lines = done.stderr.strip().splitlines()
    values = json.loads(report.read_text()) if report.is_file() else {"status": done.returncode, "peak_mb": 0.0}
    return int(values["status"]), float(values["peak_mb"]), lines[-1][-300:] if lines else ""


def _verdicts(run: RunFolder) -> dict[str, str]:
    """Return what became of each file: kept, rejected, failed (by the file's own fault or not), or skipped by name."""
    verdicts = {item.path: "skipped" for item in read_plan(run, 0).skipped_inputs}
    rows = run.ledger().select(["video_id", "status", "error"]).to_pylist()
    rank = ("skipped", "rejected", "failed", "failed: its process crashed", "failed: fault of the program", "kept")
    for row in rows:
        outcome = row["status"]
        if outcome == "failed" and not is_files_own(row["error"] or ""):
            outcome = "failed: fault of the program" if row["error"] != "killed" else "failed: its process crashed"
        verdicts[row["video_id"]] = max(verdicts.get(row["video_id"], "skipped"), outcome, key=rank.index)
    return verdicts
