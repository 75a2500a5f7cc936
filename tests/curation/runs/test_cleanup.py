"""avf-curate gc removes only the files of processes that ended."""

import subprocess
from pathlib import Path

import pytest
from avf_curation.cli.main import main
from avf_shards.system.temporary_folder import claim_temporary_folder
from support.runs import make_run, write_coordinator_marker


def test_gc_removes_only_files_of_ended_processes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path)
    before = sorted(path for path in run.root.rglob("*") if path.is_file())
    claim_temporary_folder(run.root / "tmp")
    (run.root / "tmp/unit-0000001-1-abcd").mkdir()
    (run.root / "tmp/unit-0000001-1-abcd/clips.tar").write_bytes(b"x" * 2_000_000)
    dead = subprocess.Popen(["true"])
    dead.wait()
    write_coordinator_marker(run, dead.pid)
    assert main(["gc", str(run.root), "--dry-run"]) == 0
    assert "2.0 MB would be freed" in capsys.readouterr().out
    assert (run.root / "tmp/unit-0000001-1-abcd").is_dir()
    assert main(["gc", str(run.root)]) == 0
    assert sorted(path for path in run.root.rglob("*") if path.is_file()) == before
    assert main(["gc", str(run.root)]) == 0
    assert "nothing to remove" in capsys.readouterr().out
    write_coordinator_marker(run, 1, host="another-machine", machine="another boot")
    assert main(["gc", str(run.root)]) == 2
