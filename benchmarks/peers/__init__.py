"""Compare the stream's decoding with mosaicml-streaming and litdata, which are installed in an environment of their own."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.table import Section
from benchmarks.talkers import ABOUT, encode_stored_clip, write_shards

FOLDER = Path(__file__).parent
CLIPS = 32
NOTE = (
    f"{CLIPS} {ABOUT}, 224x224, the same mp4 and FLAC bytes in each library's own format, the same windows of 16 frames at stride 4 with "
    "their sound, the same tensors out (compared byte for byte first). One process, CPU time, medians of seven rounds in turn. The usual "
    "way: PyAV up to the window's end, soundfile. With our decoder plugged into theirs, the rest is the cost of the format alone. Both "
    "with their defaults, that is without checksums; ours checks each file's (CRC and header)."
)


def run() -> list[Section]:
    try:
        python = _python()
    except (OSError, subprocess.CalledProcessError) as error:
        return [
            Section(
                "Peers of the stream", f"Not measured: their environment cannot be installed ({error}).", [["", ""]]
            )
        ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_shards(folder / "ours", [encode_stored_clip(n) for n in range(CLIPS)])
        (folder / "windows.json").write_text(json.dumps([[n, 4 * (n * 5 % 22)] for n in range(CLIPS)]))
        root = FOLDER.parents[1]
        paths = os.pathsep.join(str(root / part) for part in ("shards", "training"))
        command = [python, str(FOLDER / "measure.py"), str(folder)]
        process = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": paths}, check=True, stdout=subprocess.PIPE, text=True
        )
    ms = json.loads(process.stdout.splitlines()[-1])
    rows = [["", "CPU ms a clip", "ours is faster by", "target"]]
    for library, value in ms.items():
        target = "1.5" if "usual" in library else ""
        rows.append([library, f"{value:.2f}", f"{value / ms['ours']:.2f}", target])
    return [Section("Peers of the stream", NOTE, rows)]


def _python() -> str:
    """Return the interpreter of the peers' environment; install it from the lock file if it is missing."""
    venv = FOLDER / ".venv"
    if not (venv / ".locked").is_file():
        uv = shutil.which("uv") or str(FOLDER.parents[1] / ".uv/bin/uv")
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        subprocess.run([uv, "venv", "--quiet", "--allow-existing", "--python", version, str(venv)], check=True)
        environment = os.environ | {"VIRTUAL_ENV": str(venv)}
        lock = str(FOLDER / "requirements.lock")
        subprocess.run([uv, "pip", "sync", "--quiet", "--require-hashes", lock], env=environment, check=True)
        (venv / ".locked").touch()
    return str(venv / "bin" / "python")
