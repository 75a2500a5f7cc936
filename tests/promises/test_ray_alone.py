"""README: a video that kills its process ends as `failed`, alone; Ctrl-C stops a run cleanly."""

import signal
import subprocess
import time
from pathlib import Path

from avf_curation.run import curate
from avf_curation.status import status
from avf_shards.run_folder import RunFolder
from support.made import EMBEDDED, poison_curate, recipe
from support.ray_runs import command, linked
from support.runs import made_inputs


def test_poison_is_isolated(tmp_path: Path) -> None:
    inputs = made_inputs(tmp_path / "in", 7)
    settings = recipe(
        "plan.unit_videos=1", "run.video_cpu_s=6", "run.video_memory_mb=1500", "run.unit_timeout_s=8", "run.kills=1"
    )
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


def test_ctrl_c_is_clean(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    source = linked(corpus, tmp_path / "in")
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
