"""A child process loads no module of the working folder, which may be a corpus from outside."""

import re
import subprocess
from pathlib import Path

import pytest
from avf_shards.system.child_process import module_command

ROOT = Path(__file__).parents[3]


def test_a_module_of_the_working_folder_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)  # who puts a folder into it wants its modules
    (tmp_path / "platform.py").write_text("print('loaded')")
    (tmp_path / "argparse.py").write_text("print('loaded')")
    child = subprocess.run(module_command("platform"), cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "loaded" not in child.stdout


@pytest.mark.parametrize("package", ["curation", "shards", "training"])
def test_every_child_is_started_so(package: str) -> None:
    starts = {
        path.name
        for path in (ROOT / package).rglob("*.py")
        if re.search(r'sys\.executable, *"-[mc]"', path.read_text())
    }
    assert starts == set()
