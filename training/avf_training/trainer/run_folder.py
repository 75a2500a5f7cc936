"""A run's folder, the same for every stage.

RUN/run.json          what this run is; a folder holds one run
RUN/checkpoints/      see checkpoint.py
RUN/metrics.jsonl     one object a step; RUN/throughput.jsonl: one every few steps
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
from avf_shards.errors import UserError
from avf_shards.format.frozen_identity import freeze_or_refuse
from avf_shards.schema.versions import check_version

RUN, MODEL, LOCK = "run.json", "model", ".lock"


@contextmanager
def exclusive_lock(folder: Path, rank: int = 0) -> Iterator[None]:
    """Inside, no other process works in this folder: rank 0 holds a lock that ends with it, however it ends.

    Raises UserError when another holds it. A file system that knows no locks gives none. The lock is the process's own
    (POSIX): what it forked may outlive it and holds nothing. Curation's coordinator leaves a marker instead, for others
    to read who it is.
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
    """Write run.json on rank 0 at the first start; on every rank raise UserError when the folder's run is another."""

    def publish(data: bytes) -> None:
        temporary = out / f".{RUN}"
        durable_io.make_folder(out)
        durable_io.remove(temporary)  # of a process that died here
        durable_io.write(temporary, data)
        durable_io.publish_file(temporary, out / RUN)

    refusal = f"{out}: holds a run with other settings; use another folder"
    freeze_or_refuse(out / RUN, identity, "training run", publish if rank == 0 else None, refusal)


def read_identity(run: Path) -> dict[str, Any]:
    """Return the values of RUN/run.json. Raises UserError for one of a newer version."""
    values: dict[str, Any] = json.loads((run / RUN).read_text("utf-8"))
    check_version(values, "training run", str(run / RUN))
    return values
