"""A run's folder, the same for every stage.

RUN/run.json          what this run is; a folder holds one run
RUN/checkpoints/      see checkpoint.py
RUN/metrics.jsonl     one object a step; RUN/throughput.jsonl: one every few steps
RUN/tensorboard/      the same, and pictures
RUN/model/            the model, when the last step is done
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from avf_shards import durable_io
from avf_shards.format.frozen_identity import freeze_or_refuse
from avf_shards.run_lock import RunLock
from avf_shards.schema.versions import read_json

RUN, MODEL = "run.json", "model"
LOCK = ".lock"  # its markers are RUN/.lock-000001.json


@contextmanager
def exclusive_lock(folder: Path, rank: int = 0) -> Iterator[None]:
    """Let no other process work in this folder: rank 0 holds the lock, the other ranks pass through.

    Processes that rank 0 forks, such as a loader's workers, may outlive it and hold nothing. Raises UserError while
    another process holds the lock.
    """
    if rank:
        yield
        return
    durable_io.make_folder(folder)
    with RunLock(folder, LOCK, str(folder)):
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
    """Return the values of RUN/run.json. Raises UserError for another version, FaultError for damage."""
    return read_json(run / RUN, "training run")
