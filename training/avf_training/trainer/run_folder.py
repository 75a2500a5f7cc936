"""A run's folder, the same for every stage.

RUN/run.json          what this run is; a folder holds one run
RUN/checkpoints/      see checkpoint.py
RUN/metrics.jsonl     one object a step; RUN/speed.jsonl: one every few steps
RUN/tensorboard/      the same, and pictures
RUN/model/            the model, when the last step is done
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from avf_shards import durable_io
from avf_shards.config import difference
from avf_shards.errors import UserError

RUN, MODEL, LOCK = "run.json", "model", ".lock"


@contextmanager
def exclusive_lock(folder: Path, rank: int = 0) -> Iterator[None]:
    """Inside, no other process works in this folder: rank 0 holds a lock that ends with it, however it ends.

    Raises UserError when another holds it. A file system that knows no locks gives none. The lock is the process's own
    (POSIX): what it forked may outlive it and holds nothing. Curation's driver leaves a marker instead, for others to
    read who it is.
    """
    if rank:
        yield
        return
    durable_io.make_folder(folder)
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise UserError(f"{folder}: another process is at work in it; wait for it or stop it") from None
        except OSError:
            pass
        yield


def freeze_identity(out: Path, identity: dict[str, Any], rank: int) -> None:
    """Record what this folder's run is, or refuse when it is another. Raises UserError with the difference."""
    now = json.loads(json.dumps(identity))
    if (out / RUN).is_file():
        changed = difference(json.loads((out / RUN).read_text("utf-8")), now)
        if changed:
            raise UserError(f"{out}: holds a run with other settings; use another folder\n{changed}")
    elif rank == 0:
        durable_io.make_folder(out)
        durable_io.remove(out / f".{RUN}")  # of a process that died here
        durable_io.write(out / f".{RUN}", (json.dumps(now, indent=1) + "\n").encode())
        durable_io.publish_file(out / f".{RUN}", out / RUN)
