"""Where uv and the versions of Python are, for tests that install the program."""

import os
import shutil
import subprocess
from pathlib import Path

_OWN_UV = Path(__file__).parents[2] / ".uv/bin/uv"
_VERSIONS = ("3.11", "3.12", "3.13")


def _find_pythons() -> list[Path]:
    """Return an interpreter of each version that the path or pyenv has."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    paths = []
    for version in _VERSIONS:
        names = [shutil.which(f"python{version}"), *sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"))]
        paths += [Path(name) for name in names if name and _is_version(Path(name), version)][:1]
    return paths


def _is_version(python: Path, version: str) -> bool:
    """Return whether an interpreter runs and has a version: pyenv has a shim for each, also of those not installed."""
    answer = subprocess.run([python, "--version"], capture_output=True, text=True)
    return answer.returncode == 0 and answer.stdout.startswith(f"Python {version}.")


#: The program uv, of the system or as `make setup` installs it; None without it.
UV = shutil.which("uv") or (str(_OWN_UV) if _OWN_UV.exists() else None)
PYTHONS = _find_pythons()
