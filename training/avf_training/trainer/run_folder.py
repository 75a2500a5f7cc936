"""A run's folder, the same for every stage.

RUN/run.json          identity of the run: recipe, data and start; a folder holds one run
RUN/checkpoints/      see checkpoint.py
RUN/metrics.jsonl     one line for each step; RUN/throughput.jsonl: one line every few steps
RUN/tensorboard/      the same numbers, and figures
RUN/model/            the model after the last step
RUN/learned.parquet   what the model has learned from, by digests; see tasks/learned_clips.py
RUN/trained_videos.json   labelled videos that an extractor of frames or sound was trained on, by name
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError
from avf_shards.format.frozen_identity import freeze_or_refuse
from avf_shards.schema.versions import read_json
from avf_shards.system import durable_io
from avf_shards.system.run_lock import RunLock

RUN, MODEL = "run.json", "model"
RESULT = "result.json"  # of a stage that learns from labels; written last: a run is finished when the file exists
_WRITTEN = (
    "checkpoints",
    "metrics.jsonl",
    "throughput.jsonl",
    "validation.jsonl",
    "learned.parquet",
    "trained_videos.json",
    MODEL,
    RESULT,
)
LOCK = ".lock"  # its markers are RUN/.lock-000001.json


@contextmanager
def exclusive_lock(folder: Path, rank: int = 0) -> Iterator[RunLock | None]:
    """Let no other process work in this folder: yield the lock on rank 0, and None on the other ranks.

    Processes that rank 0 forks, such as a loader's workers, may outlive it and hold nothing. Raises UserError while
    another process holds the lock.
    """
    if rank:
        yield None
        return
    # Rank 0 stands for its run: a lock for each rank would make the ranks of one run exclude each other.
    durable_io.make_folder(folder)
    with RunLock(folder, LOCK, str(folder)) as lock:
        yield lock


def freeze_identity(out: Path, identity: dict[str, Any], rank: int, free: Collection[str] = ()) -> None:
    """Write run.json on rank 0 at the first start; on every rank raise UserError when the folder holds another run.

    Without run.json, files under the names of a run's are somebody else's, and are refused too.

    free: settings of the recipe that may change; those in a file of an older version are not compared.
    """

    def publish(data: bytes) -> None:
        temporary = out / f".{RUN}"
        durable_io.make_folder(out)
        durable_io.remove(temporary)  # a process that died before publishing leaves it behind
        durable_io.write(temporary, data)
        durable_io.publish_file(temporary, out / RUN)

    others = [name for name in _WRITTEN if (out / name).exists()] if rank == 0 and not (out / RUN).exists() else []
    if others:
        raise UserError(f"{out / others[0]}: is there already, and {out} holds no run; use another folder")
    refusal = f"{out}: holds a run with other settings; use another folder"
    settings = [f"recipe.{setting}" for setting in free]
    freeze_or_refuse(out / RUN, identity, "training run", publish if rank == 0 else None, refusal, derived=settings)


def is_run_of(run: Path, stage: str) -> bool:
    """Return whether a folder holds a run of a stage, by the name that run.json has for it."""
    return (run / RUN).is_file() and read_identity(run).get("stage") == stage


def read_identity(run: Path) -> dict[str, Any]:
    """Return the values of RUN/run.json. Raises UserError for another version, FaultError for damage."""
    return read_json(run / RUN, "training run")
