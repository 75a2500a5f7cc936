"""Kill a process after each of its file operations, start it again, and compare with one that nobody killed."""

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from avf_shards.deletion.both_places import TakedownOptions, take_down_in_both
from avf_shards.deletion.requests import deletion_request
from avf_shards.format.run_folder import RunFolder
from avf_shards.packing.run_verification import verify_run
from avf_shards.packing.verify import verify_shards
from support.clips import make_flashing_shards
from support.crash_points import exit_status_in_child
from support.runs import make_inputs
from support.shard_folders import read_clips
from support.trees import file_digests

from benchmarks.faults.subjects import curate_and_pack, die_after, list_operations, run_work, spread, without_models
from benchmarks.faults.trials import Trial


@dataclass(frozen=True, kw_only=True)
class _Job:
    """Work that is killed."""

    row: str  # of the table
    prepare: Callable[[Path], object]  # writes what the work starts from into a folder
    work: Callable[[Path], object]
    result: Callable[[Path], object]  # what must be the same in the end


def try_kills(count: int, skipped: frozenset[str]) -> Iterator[Trial]:
    """Yield what became of each job that was killed after each of its file operations, or after about `count` of them."""
    with tempfile.TemporaryDirectory() as name, without_models():
        folder = Path(name)
        source = make_inputs(folder / "inputs", 2)
        make_flashing_shards(folder / "packed", {"a": 4, "b": 2}, clips_per_shard=2)
        jobs = (
            _Job(
                row="plan, curation and pack",
                prepare=Path.mkdir,
                work=lambda out: curate_and_pack(source, out),
                result=file_digests,
            ),
            _Job(
                row="takedown in a run and its shards",
                prepare=lambda out: shutil.copytree(folder / "packed", out),
                work=_take_down,
                result=_describe_takedown,
            ),
        )
        for job in jobs:
            yield from _kill_everywhere(job, folder / "work", count, skipped)
        yield from _kill_checkpoints(folder, count, skipped)


def _kill_everywhere(job: _Job, folder: Path, count: int, skipped: frozenset[str]) -> Iterator[Trial]:
    folder.mkdir(exist_ok=True)
    undisturbed = folder / "undisturbed"
    job.prepare(undisturbed)
    operations = list_operations(lambda: job.work(undisturbed))
    expected = job.result(undisturbed)
    for number in spread(len(operations), count):
        case = f"{job.row} {number} {operations[number]}"
        if case in skipped:
            continue
        out = folder / "killed"
        job.prepare(out)
        died = exit_status_in_child(partial(die_after, number, partial(run_work, job.work, out)))
        assert died == -signal.SIGKILL, f"{case}: ended with {died}"
        status = exit_status_in_child(partial(run_work, job.work, out))
        is_same = status == 0 and job.result(out) == expected
        outcome = "same result" if is_same else ("another result" if status == 0 else "does not start again")
        yield Trial(case=case, row=job.row, outcome=outcome, lost=int(not is_same))
        shutil.rmtree(out)
    shutil.rmtree(undisturbed)


def _take_down(folder: Path) -> None:
    request = deletion_request(["a/003.mp4", "b/001.mp4"])
    take_down_in_both(folder / "shards", RunFolder(folder / "run"), request, TakedownOptions())


def _describe_takedown(folder: Path) -> object:
    """Return the faults, clips and verdicts of a run and its shards, and the media that are left in the run."""
    run = RunFolder(folder / "run")
    rows = sorted(str(row) for row in run.ledger().to_pylist())
    parts = b"".join(path.read_bytes() for path in sorted(run.root.rglob("clips.tar")))
    return verify_run(run), verify_shards(folder / "shards"), read_clips(folder / "shards"), rows, parts


def _kill_checkpoints(folder: Path, count: int, skipped: frozenset[str]) -> Iterator[Trial]:
    """Kill a process after each file operation of its second checkpoint, or the first `count`; another loads one."""
    row, number = "saving a checkpoint", 0
    while not count or number < count:
        case, run = f"{row} {number}", folder / "checkpoints"
        status = _run_child("save", run, number)
        if status == 0:
            return
        assert status == -signal.SIGKILL, f"{case}: ended with {status}"
        if case not in skipped:
            is_valid = _run_child("load", run, 0) == 0
            yield Trial(
                case=case,
                row=row,
                outcome="the newest or the one before is whole" if is_valid else "no whole checkpoint",
                lost=int(not is_valid),
            )
        shutil.rmtree(run, ignore_errors=True)
        number += 1


def _run_child(action: str, run: Path, number: int) -> int:
    command = [sys.executable, "-m", "benchmarks.faults.checkpoint_job", action, str(run), str(number)]
    return subprocess.run(command, check=False, capture_output=True).returncode
