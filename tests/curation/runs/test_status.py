"""avf-curate status --watch repeats the status of an active run, and ends with the run."""

import json
import os
import shutil
from pathlib import Path

import pytest
from avf_curation.cli.main import main
from avf_curation.execution.active_units import ActiveUnitFile
from avf_curation.runs import status as module
from avf_curation.runs.frozen_plan import read_plan
from avf_shards.format.run_folder import RunFolder
from avf_shards.system.run_lock import marker_values
from support.clips import make_flashing_shards


def test_status_watch_ends_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_flashing_shards(tmp_path, {"a": 2})
    run = RunFolder(tmp_path / "run")
    ledger = run.attempt_folder(0) / "ledger"
    ledger.rename(tmp_path / "ledger")
    coordinator = marker_values(os.getpid())
    (run.log_folder / "coordinator-000001.json").write_text(json.dumps(coordinator))
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            shutil.move(tmp_path / "ledger", ledger)

    monkeypatch.setattr(module.time, "sleep", sleep)
    assert main(["status", str(run.root), "--watch", "3"]) == 0
    states = [line.split()[1] for line in capsys.readouterr().out.splitlines()]
    assert states == ["going:", "going:", "finished:"]
    assert slept == [3.0, 3.0]
    assert main(["status", str(run.root), "--watch", "0"]) == 2
    assert "must be above 0 seconds" in capsys.readouterr().err


@pytest.mark.parametrize("going", [True, False])
def test_nobody_is_at_work_on_a_run_that_was_stopped(tmp_path: Path, going: bool) -> None:
    """Killed workers leave the files of the units that they were at."""
    make_flashing_shards(tmp_path, {"a": 2})
    run = RunFolder(tmp_path / "run")
    shutil.rmtree(run.attempt_folder(0) / "ledger")
    shutil.rmtree(run.attempt_folder(0) / "units")
    for marker in run.log_folder.glob("coordinator-*.json"):
        marker.unlink()
    if going:
        (run.log_folder / "coordinator-000009.json").write_text(json.dumps(marker_values(os.getpid())))
    with ActiveUnitFile(run, next(read_plan(run, 0).jobs(set())), min_interval_s=0):
        status = module.run_status(run)
    assert (status.state, len(status.progress.active)) == (("going", 1) if going else ("stopped", 0))
