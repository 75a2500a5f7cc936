"""Clips per core-second beside mosaicml-streaming and litdata; their packages live in an environment of their own."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.table import Section
from benchmarks.talkers import ABOUT, shards_of, stored

HERE = Path(__file__).parent
CLIPS = 32
NOTE = (
    f"{CLIPS} {ABOUT}, 224x224, the same mp4 and FLAC bytes in each library's own format, the same windows of 16 frames at stride 4 with "
    "their sound, the same tensors out (compared byte for byte first). One process, CPU time, medians of seven rounds in turn. The usual "
    "way: PyAV up to the window's end, soundfile. With our decoder plugged into theirs, what is left is the cost of the format alone. Both "
    "as they come, that is without checksums; ours checks each file's (CRC and header)."
)


def run() -> list[Section]:
    try:
        python = _python()
    except (OSError, subprocess.CalledProcessError) as error:
        return [
            Section(
                "Peers of the stream", f"Not measured: their environment cannot be made here ({error}).", [["", ""]]
            )
        ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shards_of(folder / "ours", [stored(n) for n in range(CLIPS)])
        (folder / "windows.json").write_text(json.dumps([[n, 4 * (n * 5 % 22)] for n in range(CLIPS)]))
        root = HERE.parents[1]
        paths = os.pathsep.join(str(root / part) for part in ("shards", "training"))
        command = [python, str(HERE / "measure.py"), str(folder)]
        done = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": paths}, check=True, stdout=subprocess.PIPE, text=True
        )
    ms = json.loads(done.stdout.splitlines()[-1])
    rows = [["", "CPU ms a clip", "ours is faster by", "target"]]
    for one, value in ms.items():
        target = "1.5" if "usual" in one else ""
        rows.append([one, f"{value:.2f}", f"{value / ms['ours']:.2f}", target])
    return [Section("Peers of the stream", NOTE, rows)]


def _python() -> str:
    """The interpreter of the peers' environment, made from their lock when it is missing."""
    home = HERE / ".venv"
    if not (home / ".locked").is_file():
        uv = shutil.which("uv") or str(HERE.parents[1] / ".uv/bin/uv")
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        subprocess.run([uv, "venv", "--quiet", "--allow-existing", "--python", version, str(home)], check=True)
        environment = os.environ | {"VIRTUAL_ENV": str(home)}
        lock = str(HERE / "requirements.lock")
        subprocess.run([uv, "pip", "sync", "--quiet", "--require-hashes", lock], env=environment, check=True)
        (home / ".locked").touch()
    return str(home / "bin" / "python")
