"""Read imdb.mat or wiki.mat in a process of its own, which a hostile file may fill and not outlive.

`python -m avf_curation.sources.pictures.mat_process PARENT FILE STRUCT` writes a JSON object for each picture, and at
the end {"fault": null}, or what is wrong with the file.
"""

import json
import math
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from avf_shards.system.child_process import end_with_parent, module_command
from avf_shards.system.memory_limit import lower_limit, reserved_memory_bytes

MAX_PICTURES = 2_000_000  # of a table; IMDB has 460,723
_MAX_BYTES = 500_000_000  # of the file
_CPU_S, _MEMORY_BYTES = 600, 4_000_000_000
_TOO_MUCH = f"reading it takes more than {_CPU_S} s or {_MEMORY_BYTES / 1e6:,.0f} MB of memory"
_FIELDS = ("full_path", "face_location", "face_score", "second_face_score")


class MatError(Exception):
    """Raised for a file that is no such table, or asks for too much; the message says why."""


def read_mat(path: Path, struct: str) -> Iterator[dict[str, Any]]:
    """Yield the path, scores (None: not a finite number) and box of each picture in a table. Raises MatError."""
    command = module_command(__name__, str(os.getpid()), str(path), struct)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as child:
        assert child.stdout is not None
        try:
            for line in child.stdout:
                if not line.endswith(b"\n"):  # it was ended while it wrote
                    break
                row = json.loads(line)
                if "fault" not in row:
                    yield row
                elif row["fault"] is None:
                    return
                else:
                    raise MatError(row["fault"])
            status = child.wait()
        finally:
            child.kill()
    raise MatError(_TOO_MUCH if status < 0 else f"its process ended with status {status}")


def _write_pictures(path: Path, name: str) -> None:
    from scipy.io import loadmat

    if path.stat().st_size > _MAX_BYTES:
        raise MatError(f"it has more than {_MAX_BYTES / 1e6:.0f} MB")
    table = loadmat(path, squeeze_me=False, struct_as_record=True, variable_names=[name]).get(name)
    if table is None or table.dtype.names is None or table.size != 1:
        raise MatError(f"it holds no struct {name}")
    missing = [field for field in _FIELDS if field not in table.dtype.names]
    if missing:
        raise MatError(f"its struct {name} has no {', '.join(missing)}")
    columns = [table[field].reshape(-1)[0].reshape(-1) for field in _FIELDS]
    if len({len(column) for column in columns}) != 1 or len(columns[0]) > MAX_PICTURES:
        raise MatError(f"its columns have {', '.join(f'{len(column):,}' for column in columns)} entries")
    for full_path, box, score, second in zip(*columns, strict=True):
        corners = [float(value) for value in box.reshape(-1)[:4]]
        row = {
            "path": str(full_path.reshape(-1)[0]) if full_path.size else "",
            "box": corners if len(corners) == 4 and all(map(math.isfinite, corners)) else None,
            "score": _finite(score),
            "second": _finite(second),
        }
        print(json.dumps(row))


def _finite(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def main(path: Path, name: str) -> None:
    """Write the pictures of a file, and what is wrong with it."""
    lower_limit(resource.RLIMIT_CORE, 0)
    lower_limit(resource.RLIMIT_CPU, _CPU_S)
    lower_limit(resource.RLIMIT_DATA, (reserved_memory_bytes() or 0) + _MEMORY_BYTES)
    fault = None
    try:
        _write_pictures(path, name)
    except MatError as error:
        fault = str(error)
    except MemoryError:
        fault = _TOO_MUCH
    except Exception as error:  # scipy raises whatever its readers meet in a damaged file
        fault = next(iter(str(error).splitlines()), type(error).__name__)[:200]
    print(json.dumps({"fault": fault}))


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]), signal.SIGKILL)
    main(Path(sys.argv[2]), sys.argv[3])
