"""`make setup` says what it does: a line before each step, and uv's own progress where a person looks."""

import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[1] / "Makefile"
UV = """#!/bin/sh
echo "uv $*"
if [ "$1" = venv ]; then mkdir -p .venv; fi
"""


@pytest.mark.parametrize(
    ("target", "terminal", "lock"),
    [
        ("setup", False, "requirements.lock"),
        ("setup", True, "requirements.lock"),
        ("setup-dev", False, "requirements-dev.lock"),
    ],
)
def test_setup_says_what_it_does(
    tmp_path: Path, target: str, terminal: bool, lock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("make") is None:
        pytest.skip("no make is installed")
    for name in ("requirements.lock", "requirements-dev.lock", "pyproject.toml"):
        (tmp_path / name).write_text("")
    (tmp_path / "uv").write_text(UV)
    (tmp_path / "uv").chmod(0o755)
    # Where `make test` runs this test, the inner make would say which folder it enters.
    monkeypatch.delenv("MAKEFLAGS", raising=False)
    monkeypatch.delenv("MAKELEVEL", raising=False)
    command = ["make", "-f", str(MAKEFILE), target, f"UV={tmp_path}/uv"]
    controller, side = pty.openpty()
    setup = subprocess.run(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=side if terminal else subprocess.PIPE,
        text=True,
        check=True,
    )
    os.close(side)
    os.close(controller)
    steps = [
        line.split(":")[0] if line.startswith("setup") else " ".join(line.split()[:3])
        for line in setup.stdout.splitlines()
    ]
    assert steps == ["setup 1/3", "uv venv --quiet", "setup 2/3", "uv pip sync", "setup 3/3", "uv pip install"]
    sync = next(line for line in setup.stdout.splitlines() if line.startswith("uv pip sync"))
    assert ("--quiet" in sync) != terminal
    assert sync.split()[-1] == lock
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.count("uv") == 0
    setup_alone = [*command[:3], "setup", command[-1]]
    assert "uv" not in subprocess.run(setup_alone, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
