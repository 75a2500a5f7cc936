"""A release has reproducible files that carry what the program reads, the version in each place, and a tag."""

import importlib.util
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from support.installation import UV

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def release() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release", ROOT / ".ci/release.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with the files of the working tree, in one commit."""
    folder = tmp_path / "clone"
    names = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    kept = ("shards/", "curation/", "training/", "pyproject.toml", "README.md", "LICENSE", "NOTICE", "C", ".ci/")
    for name in filter(lambda name: name.startswith(kept) and (ROOT / name).exists(), names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name, follow_symlinks=False)
    git(folder, "init", "--quiet")
    for name, value in (("user.name", "A"), ("user.email", "a@b.c"), ("commit.gpgsign", "false")):
        git(folder, "config", name, value)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "feat: all of it")
    return folder


@pytest.mark.skipif(UV is None, reason="no uv is installed; `make setup` installs it")
def test_a_release_is_reproducible_tagged_and_complete(release: ModuleType, clone: Path) -> None:
    release.main(clone, "0.9.0", str(UV))
    assert git(clone, "tag", "--points-at", "HEAD").strip() == "v0.9.0"
    assert git(clone, "status", "--porcelain", "--untracked-files=no") == ""
    assert 'version = "0.9.0"' in (clone / "pyproject.toml").read_text()
    assert "\nversion: 0.9.0\n" in (clone / "CITATION.cff").read_text()
    heads = [line for line in (clone / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")]
    assert heads[0] == "## Unreleased"
    assert heads[1].startswith("## 0.9.0 - 2")
    wheel, sdist = clone / "dist/avf_foundry-0.9.0-py3-none-any.whl", clone / "dist/avf_foundry-0.9.0.tar.gz"
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = set(archive.namelist())
        metadata = archive.read("avf_foundry-0.9.0.dist-info/METADATA").decode()
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    for folder in ("shards/avf_shards", "curation/avf_curation", "training/avf_training"):
        package = Path(folder).name
        read = git(clone, "ls-files", folder).split()
        read += git(clone, "ls-files", f"{Path(folder).parent}/recipes").split()
        names = {name.split("/", 1)[1].removeprefix(f"{package}/") for name in read if not (clone / name).is_symlink()}
        assert {f"{package}/{name}" for name in names} <= in_wheel
    assert {"pyproject.toml", "CHANGELOG.md", "NOTICE", "LICENSE"} <= in_sdist
    assert "retinaface" not in metadata, "it pins a torch that no other package lives with"
    assert {line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra" not in line} == {
        "Requires-Dist: numpy<3,>=2",
        "Requires-Dist: pyarrow>=21",
    }


@pytest.mark.parametrize(
    ("version", "message"), [("0.3", "must be three numbers"), ("0.2.0", "CHANGELOG.md has it already")]
)
def test_a_version_that_cannot_be_released_changes_nothing(
    release: ModuleType, clone: Path, version: str, message: str
) -> None:
    with pytest.raises(SystemExit, match=message):
        release.main(clone, version, "uv")
    assert git(clone, "status", "--porcelain") == ""


def test_changes_that_are_not_committed_are_named(release: ModuleType, clone: Path) -> None:
    (clone / "NOTICE").write_text("changed")
    with pytest.raises(SystemExit, match="NOTICE: has changes; commit them first"):
        release.main(clone, "0.9.0", "uv")
    assert git(clone, "diff", "--name-only").split() == ["NOTICE"]


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, text=True, stdout=subprocess.PIPE).stdout
