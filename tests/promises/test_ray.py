"""README: SIGKILL the driver, a worker or the raylet at any moment, run the same command again: the same bytes.

Also: 1 and 2 workers and `inline` give the same bytes; a video that kills its process ends as `failed`, alone.
"""

import contextlib
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from avf_curation.run import curate
from avf_curation.status import status
from avf_shards.pack import pack
from avf_shards.run_folder import RunFolder
from avf_shards.select import Selection
from support.made import EMBEDDED, poison_curate, recipe
from support.runs import made_inputs
from support.trees import results

QUICK = ("plan.unit_videos=1", "faces.side_px=300", "track.side_px=300")


@pytest.fixture(scope="module")
def source(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small real source: links to four files of the demo corpus."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("studio/talk_0.mp4", "studio/talk_1.mp4", "archive/truncated.mp4", "archive/notes.mp4"):
        (folder / Path(name).name).symlink_to(corpus / name)
    return folder


@pytest.fixture(scope="module")
def undisturbed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("inline") / "run"
    run = curate(recipe(*QUICK), EMBEDDED, {"s": source}, out, engine="inline")
    pack(run, out.parent / "shards", Selection())
    return results(out) | results(out.parent / "shards")


def command(source: Path, out: Path, workers: int) -> list[str]:
    return [
        sys.executable,
        "-m",
        "avf_curation.cli",
        *("run", "--source", f"s={source}", "--out", str(out)),
        *(word for setting in QUICK for word in ("--set", setting)),
        *("--workers", str(workers), "--weights", str(out.parent / "none")),
    ]


def finish(source: Path, out: Path, workers: int) -> dict[str, str]:
    done = subprocess.run(command(source, out, workers), capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    pack(RunFolder(out), out.parent / "shards", Selection())
    return results(out) | results(out.parent / "shards")


def victims(driver: psutil.Process, kind: str) -> list[psutil.Process]:
    words = {"worker": "ray::_Actor", "raylet": "raylet/raylet"}
    if kind == "driver":
        return [driver]
    found = []
    for process in driver.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if words[kind] in " ".join(process.cmdline()):
                found.append(process)
    return found


def strike(source: Path, out: Path, kind: str, after_units: int, workers: int = 2) -> int:
    """Start the run and SIGKILL a `kind` once `after_units` are committed; the driver's exit status."""
    running = subprocess.Popen(
        command(source, out, workers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    driver = psutil.Process(running.pid)
    end = time.monotonic() + 120
    while time.monotonic() < end and running.poll() is None:
        done = len(RunFolder(out).finished_units(0))
        at_work = done >= after_units and victims(driver, "worker")
        targets = victims(driver, kind) if at_work else []
        if targets:
            time.sleep(random.Random(after_units).uniform(0, 0.5))
            for target in targets:
                with contextlib.suppress(psutil.Error):
                    target.kill()
            break
        time.sleep(0.02)
    return running.wait(timeout=150)


def test_driver_and_raylet_killed_and_started_again(source: Path, undisturbed: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert strike(source, out, "raylet", 0) != 0
    assert strike(source, out, "driver", 1) == -signal.SIGKILL
    assert finish(source, out, 2) == undisturbed


def test_worker_killed_and_one_worker(source: Path, undisturbed: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert strike(source, out, "worker", 1, workers=1) == 0, "the death of a worker is the run's own business"
    assert finish(source, out, 1) == undisturbed


def test_poison_is_isolated(tmp_path: Path) -> None:
    inputs = made_inputs(tmp_path / "in", 7)
    settings = recipe("plan.unit_videos=1", "run.video_cpu_s=6", "run.video_memory_mb=1500", "run.unit_timeout_s=8")
    run = curate(
        settings, EMBEDDED, {"made": inputs}, tmp_path / "run", engine="ray", workers=2, curate_one=poison_curate
    )
    rows = run.ledger().to_pylist()
    failed = {row["video"]: (row["error"], row["message"]) for row in rows if row["status"] == "failed"}
    assert failed == {
        "001.mp4": ("killed", "its process died of SIGSEGV"),
        "003.mp4": ("memory_limit", "took more than 1500 MB of memory"),
        "005.mp4": ("cpu_limit", "took more than 6 s of CPU time"),
    }
    kept = {row["video"] for row in rows if row["status"] == "kept"}
    assert kept == {"000.mp4", "002.mp4", "004.mp4", "006.mp4"}


def test_ctrl_c_is_clean(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    running = subprocess.Popen(command(source, out, 2), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while len(RunFolder(out).finished_units(0)) < 1:
        time.sleep(0.05)
        assert running.poll() is None
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "the same command goes on" in said
    assert "Traceback" not in said
    assert status(RunFolder(out)).state == "stopped"
