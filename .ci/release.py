"""Build the sdist and the wheel twice, compare their bytes and check them; with a version, release it.

`release.py` leaves both files in dist/. `release.py 0.3.0` first writes the version and the section of the changelog,
commits them and sets the tag v0.3.0; nothing is pushed or uploaded.
"""

import argparse
import datetime
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
UNRELEASED = "## Unreleased\n"
VERSION_LINES = {"pyproject.toml": r'^version = "([^"]+)"$', "CITATION.cff": r"^version: (.+)$"}


def main(root: Path, version: str, uv: str) -> None:
    """Release `version` if it is not empty, then build and check. Exits with a sentence where that cannot be done."""
    if version:
        require_clean(root)
        write_release(root, version, datetime.datetime.now(datetime.UTC).date())
        commit(root, version)
    for path in build_twice(root, uv):
        print(f"dist/{path.name}  {path.stat().st_size / 1e6:.1f} MB")


def write_release(root: Path, version: str, today: datetime.date) -> None:
    """Write the version into its files, and name the changelog's first section by it. Exits where it cannot be done."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        sys.exit(f"VERSION={version}: must be three numbers, as 0.3.0")
    changelog = (root / "CHANGELOG.md").read_text("utf-8")
    _, heading, rest = changelog.partition(UNRELEASED)
    if not heading or rest.lstrip().startswith("## "):
        sys.exit("CHANGELOG.md: has nothing under `## Unreleased`, so there is nothing to release")
    if f"\n## {version}" in changelog:
        sys.exit(f"VERSION={version}: CHANGELOG.md has it already")
    texts = {"CHANGELOG.md": changelog.replace(UNRELEASED, f"{UNRELEASED}\n## {version} - {today.isoformat()}\n", 1)}
    for name, line in VERSION_LINES.items():
        text = (root / name).read_text("utf-8")
        match = re.search(line, text, re.MULTILINE)
        if match is None:
            sys.exit(f"{name}: has no line with the version")
        texts[name] = text[: match.start(1)] + version + text[match.end(1) :]
    for name, text in texts.items():
        (root / name).write_text(text, "utf-8")


def require_clean(root: Path) -> None:
    """Exit where a file of the repository has changes that are not committed."""
    if changed := run(root, "git", "status", "--porcelain", "--untracked-files=no").splitlines():
        sys.exit(f"{changed[0][3:]}: has changes; commit them first")


def commit(root: Path, version: str) -> None:
    """Commit the files of the release and tag the commit."""
    run(root, "git", "commit", "--quiet", "-m", f"chore: release {version}", "--", "CHANGELOG.md", *VERSION_LINES)
    run(root, "git", "tag", "-a", f"v{version}", "-m", f"avf-foundry {version}")


def build_twice(root: Path, uv: str) -> list[Path]:
    """Return the files in dist/, which a second build made again with the same bytes, and which twine accepts."""
    time = run(root, "git", "log", "-1", "--format=%ct").strip()
    with tempfile.TemporaryDirectory() as name:
        for folder in (str(root / "dist"), name):
            subprocess.run(
                [uv, "build", "--quiet", "--clear", "--no-build-isolation", "--out-dir", folder, str(root)],
                check=True,
                env={**os.environ, "SOURCE_DATE_EPOCH": time, "VIRTUAL_ENV": sys.prefix},
            )
        paths = sorted(path for path in (root / "dist").iterdir() if path.suffix in (".whl", ".gz"))
        if different := [path.name for path in paths if path.read_bytes() != (Path(name) / path.name).read_bytes()]:
            sys.exit(f"{different[0]}: a second build has other bytes")
    run(root, sys.executable, "-m", "twine", "check", "--strict", *map(str, paths))
    return paths


def run(folder: Path, *command: str) -> str:
    """Return what a command printed. Exits with its output where it fails."""
    finished = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if finished.returncode:
        sys.exit(f"{' '.join(command[:4])}: {(finished.stdout + finished.stderr).strip()}")
    return finished.stdout


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", nargs="?", default="")
    parser.add_argument("--uv", default="uv", help="the program uv")
    options = parser.parse_args()
    main(ROOT, options.version, options.uv)
