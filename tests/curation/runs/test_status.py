"""avf-curate status --watch repeats the status of an active run, and ends with the run."""

import json
import os
import shutil
from pathlib import Path

import pytest
from avf_curation.cli.main import main
from avf_curation.runs import status as module
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
