"""Promise: the wheel installs with pip and uv in a fresh environment, and each extra suffices for its program."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from avf_curation.demo.video import ShotScript, VideoScript, encode_video
from support.installation import PYTHONS, UV

MAX_MB = {"": 300, "curate": 1024}

pytestmark = [pytest.mark.slow, pytest.mark.skipif(UV is None, reason="no uv is installed; `make setup` installs it")]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [str(UV), "build", "--quiet", "--wheel", "--no-build-isolation", "--out-dir", str(folder)]
    run([*build, str(Path(__file__).parents[2])], VIRTUAL_ENV=sys.prefix)
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.timeout(900)
@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: path.name)
def test_uv_installs_what_curation_needs_without_torch(wheel: Path, python: Path, tmp_path: Path) -> None:
    programs = make_environment(tmp_path, python)
    install = [str(UV), "pip", "install", "--quiet"]
    run([*install, str(wheel)], VIRTUAL_ENV=str(programs.parent))
    assert size_mb(programs.parent) <= MAX_MB[""]
    assert "usage: avf-shards" in run([programs / "avf-shards", "--help"])
    run([*install, f"{wheel}[curate]"], VIRTUAL_ENV=str(programs.parent))
    assert size_mb(programs.parent) <= MAX_MB["curate"]
    with pytest.raises(subprocess.CalledProcessError):
        run([programs / "python", "-c", "import torch"])
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "talk.mp4").write_bytes(encode_video(VideoScript(shots=(ShotScript(frames=150),))))
    run([programs / "avf-curate", "run", "--source", f"own={videos}", "--out", tmp_path / "run", "--engine", "inline"])
    run([programs / "avf-curate", "audit", tmp_path / "run", "--html", tmp_path / "report.html"])
    run([programs / "avf-shards", "pack", tmp_path / "run", "--out", tmp_path / "shards"])
    assert len(run([programs / "avf-shards", "ls", tmp_path / "shards", "--keys"]).split()) == 1
    run([str(UV), "pip", "uninstall", "--quiet", "ray"], VIRTUAL_ENV=str(programs.parent))
    again = ["--out", tmp_path / "again", "--engine", "inline"]
    run([programs / "avf-curate", "run", "--source", f"own={videos}", *again])
    run([programs / "avf-curate", "audit", tmp_path / "again"])
    trainer = subprocess.run(
        [
            programs / "avf-train",
            "pretrain",
            "--recipe",
            "nano",
            "--shards",
            tmp_path / "shards",
            "--out",
            tmp_path / "x",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert trainer.returncode == 2
    assert "pip install 'avf-foundry[train]'" in trainer.stderr


@pytest.mark.timeout(900)
@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: path.name)
def test_pip_resolves_every_extra_and_installs_the_first_of_them(wheel: Path, python: Path, tmp_path: Path) -> None:
    run([python, "-m", "venv", str(tmp_path / "environment")])
    pip = [tmp_path / "environment/bin/python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    report = tmp_path / "report.json"
    run([*pip, "--dry-run", "--ignore-installed", "--report", report, f"{wheel}[all]"])
    packages = {entry["metadata"]["name"] for entry in json.loads(report.read_text())["install"]}
    assert {"torch", "ray", "s3fs", "gcsfs", "adlfs", "huggingface_hub"} <= packages
    assert not {"tensorflow", "opencv-python", "retinaface-pytorch", "moto"} & packages
    run([*pip, wheel])
    assert "avf-shards" in run([tmp_path / "environment/bin/avf-shards", "--version"])


def make_environment(folder: Path, python: Path) -> Path:
    """Return the folder of programs of a new environment."""
    run([str(UV), "venv", "--quiet", "--python", python, folder / "environment"])
    return folder / "environment/bin"


def run(command: list[str | Path], **variables: str) -> str:
    """Return what a command printed. Raises CalledProcessError where it fails, behind its own message."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV", "COVERAGE_PROCESS_START", "COV_CORE_SOURCE")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    return subprocess.run(
        [str(word) for word in command], check=True, text=True, stdout=subprocess.PIPE, env=environment | variables
    ).stdout


def size_mb(folder: Path) -> float:
    """Return the space of a folder's files, in MiB; a file with several links counts once."""
    files = {(entry.stat().st_ino, entry.stat().st_size) for entry in folder.rglob("*") if entry.is_file()}
    return sum(size for _, size in files) / 2**20
