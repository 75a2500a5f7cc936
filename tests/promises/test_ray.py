"""Promise: a run whose coordinator, worker or raylet gets SIGKILL ends with the same bytes after a restart.

One worker, two workers and the `inline` engine give the same bytes, and Ctrl-C and SIGTERM stop a run cleanly.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from avf_curation.runs.curation import RunOptions, curate
from avf_curation.runs.status import run_status
from avf_shards.format.run_folder import RunFolder
from avf_shards.packing.pack import pack_shards
from avf_shards.packing.selection import Selection
from support.curation_runs import EMBEDDED, make_recipe
from support.demo_files import DemoFiles
from support.ray_runs import QUICK_SETTINGS, copy_demo_videos, curate_command
from support.trees import result_digests
from support.waiting import wait_until


@pytest.fixture(scope="module")
def source(corpus: DemoFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_demo_videos(corpus, tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def undisturbed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("inline") / "run"
    run = curate(make_recipe(*QUICK_SETTINGS), EMBEDDED, {"s": source}, out, RunOptions(engine="inline"))
    pack_shards(run, out.parent / "shards", Selection())
    return result_digests(out) | result_digests(out.parent / "shards")


def finish_run(source: Path, out: Path, workers: int) -> dict[str, str]:
    done = subprocess.run(curate_command(source, out, workers), capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    pack_shards(RunFolder(out), out.parent / "shards", Selection())
    return result_digests(out) | result_digests(out.parent / "shards")


def processes_of(driver: psutil.Process, kind: str) -> list[psutil.Process]:
    words = {"worker": "ray::UnitActor", "raylet": "raylet/raylet"}
    if kind == "driver":
        return [driver]
    processes = []
    for process in driver.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if words[kind] in " ".join(process.cmdline()):
                processes.append(process)
    return processes


def kill_process(source: Path, out: Path, kind: str, after_units: int, workers: int = 2) -> int:
    """Start the run and SIGKILL a `kind` once `after_units` are committed; the driver's exit status."""
    running = subprocess.Popen(
        curate_command(source, out, workers),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    driver = psutil.Process(running.pid)

    def targets() -> list[psutil.Process]:
        assert running.poll() is None, "the run ended before anything could be killed"
        at_work = len(RunFolder(out).finished_units(0)) >= after_units and processes_of(driver, "worker")
        return processes_of(driver, kind) if at_work else []

    for target in wait_until(targets, f"a {kind} at work after {after_units} units"):
        with contextlib.suppress(psutil.Error):
            target.kill()
    return running.wait(timeout=150)


@pytest.mark.slow
def test_a_run_whose_coordinator_and_raylet_were_killed_resumes_to_the_same_bytes(
    source: Path, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert kill_process(source, out, "raylet", 0) != 0
    assert kill_process(source, out, "driver", 1) == -signal.SIGKILL
    assert finish_run(source, out, 2) == undisturbed


@pytest.mark.slow
def test_a_run_whose_worker_was_killed_ends_with_the_same_bytes(
    source: Path, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert kill_process(source, out, "worker", 1, workers=1) == 0, "the death of a worker is the run's own business"
    assert finish_run(source, out, 1) == undisturbed


@pytest.mark.parametrize(
    ("number", "send"),
    [
        pytest.param(signal.SIGINT, os.kill, id="ctrl-c"),
        pytest.param(signal.SIGTERM, os.kill, id="sigterm", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, os.killpg, id="sigterm-to-the-group", marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_a_run_cleanly(
    source: Path, tmp_path: Path, number: signal.Signals, send: Callable[[int, int], None]
) -> None:
    out = tmp_path / "run"
    running = subprocess.Popen(
        curate_command(source, out, 2),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until(lambda: RunFolder(out).finished_units(0), "the first finished unit")
    assert running.poll() is None
    send(running.pid, number)
    _, stderr = running.communicate(timeout=240)
    assert running.returncode == 130
    assert "the same command continues after them" in stderr
    assert "Traceback" not in stderr
    assert "SIGTERM received" not in stderr, "Ray's native stack"
    assert run_status(RunFolder(out)).state == "stopped"
