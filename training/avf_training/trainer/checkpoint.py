"""Checkpoints that are complete or absent: torch's distributed checkpoint, written durably and published by rename.

    RUN/checkpoints/step-00000050/__0_0.distcp, .metadata   tensors of model and optimizer
    RUN/checkpoints/step-00000050/manifest.json             size and SHA-256 of each file; scaler, stream position
    RUN/checkpoints/latest                                  name of the newest checkpoint, for people

A folder has its final name if and only if all of it is durable. The newest checkpoint is the one with the highest step;
`latest` only repeats that. A file is read only when its digest is the manifest's, and by a reader that runs no code.
"""

import io
import logging
import os
from collections.abc import Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from avf_shards.errors import FaultError, UserError
from avf_shards.format.manifest import MANIFEST, seal, unseal
from avf_shards.format.tar import sha256_file
from avf_shards.system import durable_io
from avf_shards.system.mirror_registry import push
from avf_shards.system.run_lock import RunLock
from torch import nn, optim
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystem, FileSystemWriter
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict

from avf_training.trainer.checkpoint_reader import CheckpointPlanner, CheckpointReader

_log = logging.getLogger(__name__)
LATEST = "latest"
METADATA = ".metadata"  # torch's own list of the tensors, and of the files that they are in
_BUFFER_BYTES = 8_000_000  # torch writes each tensor in small pieces


class _DurableStream(io.RawIOBase):
    """The stream that torch writes a file to; the durable writer behind it syncs the file when it closes."""

    def __init__(self, file: durable_io.Writer) -> None:
        self._file, self._position = file, 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._file.write(view)
        self._position += len(view)
        return len(view)

    def tell(self) -> int:
        return self._position


class _DurableFileSystem(FileSystem):
    """torch's file system with every write made durable."""

    @contextmanager
    def create_stream(self, path: str | os.PathLike[str], mode: str) -> Generator[io.IOBase, None, None]:
        if "w" in mode:
            with (
                durable_io.Writer(Path(path)) as file,
                io.BufferedWriter(_DurableStream(file), _BUFFER_BYTES) as stream,
            ):
                yield stream
        else:
            with super().create_stream(path, mode) as stream:
                yield stream


@dataclass(frozen=True, kw_only=True)
class SavedCheckpoint:
    """A published checkpoint."""

    step: int  # optimizer steps that were done when it was saved
    folder: Path  # RUN/checkpoints/step-00000050
    files: frozenset[str]  # names of its files, each as the manifest says
    state: dict[str, Any]  # what the manifest keeps besides the files: scaler and stream position


class Checkpoints:
    """The checkpoints of a run. All ranks write, rank 0 publishes; the `keep` newest checkpoints stay."""

    def __init__(self, run: Path, keep: int, rank: int, lock: RunLock | None = None) -> None:
        """Prepare the checkpoints of the folder `run`.

        Args:
            lock: rank 0's lock on the folder. While another process holds the folder, nothing is saved.
        """
        self.run, self.folder, self.keep, self.rank = run, run / "checkpoints", keep, rank
        self._lock = lock
        self._pending: Future[None] | None = None
        self._finishing = ThreadPoolExecutor(1, "checkpoint")  # digests of gigabytes take longer than a step
        # The writing thread has a process group of its own: its collectives must not mix with those of training.
        self._group = dist.new_group(backend="gloo") if dist.is_initialized() else None

    def save(self, step: int, model: nn.Module, optimizer: optim.Optimizer, state: Mapping[str, Any]) -> None:
        """Copy model and optimizer now, and write them while training continues. Collective: all ranks must call it.

        Waits until the previous checkpoint is published. Raises UserError when that checkpoint could not be written,
        for example on a full disk, and when another process has taken the run over.
        """
        self.wait()  # one at a time: each holds a copy of model and optimizer in memory
        self._check_lock(step)
        temporary = self.folder / f".step-{step:08d}"
        if self.rank == 0:
            durable_io.make_folder(self.folder)
            durable_io.make_new_folder(temporary)
        dist.barrier()  # no rank may write before rank 0 has made the folder
        writer = FileSystemWriter(temporary, sync_files=False, single_file_per_rank=True, thread_count=1)
        writer.fs = _DurableFileSystem()
        model_state, optimizer_state = get_state_dict(model, optimizer)
        future = dcp.async_save(
            {"model": model_state, "optim": optimizer_state}, storage_writer=writer, process_group=self._group
        )
        assert isinstance(future, Future)  # async_save returns another type only with a stager, which we do not pass
        self._pending = self._finishing.submit(self._finish, future, step, dict(state))

    def _check_lock(self, step: int) -> None:
        """Raise UserError on all ranks when rank 0 has lost its lock, as after a suspension of over a minute."""
        lost = [self._lock is not None and self._lock.is_lost()]
        dist.broadcast_object_list(lost, group=self._group)
        if lost[0]:
            raise UserError(
                f"{self.run}: another process has taken this run over (the marker of this one is gone), so step {step} "
                "is not saved; the run goes on in that process, from the newest checkpoint"
            )

    def poll(self) -> None:
        """Raise the error of the writing thread if it has failed; return at once while it still writes."""
        if self._pending is not None and self._pending.done():
            self.wait()

    def wait(self) -> None:
        """Wait until the checkpoint that is being written is published. Raises UserError as `save` does."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def _finish(self, future: Future[Any], step: int, state: dict[str, Any]) -> None:
        """Wait in the finishing thread until all ranks have written, then publish. Raises UserError."""
        try:
            future.result()
        except CheckpointException as error:  # a BaseException: an `except Exception` further up would miss it
            cause = next(iter(error.failures.values()))[0]
            raise UserError(
                f"checkpoint of step {step} cannot be written ({type(cause).__name__}: {cause}); "
                "earlier checkpoints are complete, and the same command resumes from the newest of them"
            ) from None
        if self.rank == 0:
            self._publish(step, state)

    def _publish(self, step: int, state: dict[str, Any]) -> None:
        temporary, final = self.folder / f".step-{step:08d}", self.folder / f"step-{step:08d}"
        files = {
            path.name: {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
            for path in sorted(temporary.iterdir())
        }
        # The manifest is written last and the rename comes after it: a kill at any point leaves either a hidden folder
        # that the next save of this step replaces, or a complete checkpoint.
        durable_io.write(temporary / MANIFEST, seal({"step": step, "files": files, "state": state}, "checkpoint"))
        push(self.run)  # metrics of these steps: who goes on from a checkpoint in a store needs them too
        durable_io.remove(final)  # present when the run went back to an earlier step
        durable_io.publish_folder(temporary, final)
        durable_io.replace_file(self.folder / LATEST, f"{final.name}\n".encode())
        _log.info(
            "checkpoint of step %d published (%d bytes)", step, sum(path.stat().st_size for path in final.iterdir())
        )
        steps = self.steps()
        # Checkpoints with a higher step come from before the run went back (--from-step) past a damaged one.
        newest = [n for n in steps if n <= step][-self.keep :]
        for old in steps:
            if old not in newest:
                _log.debug("checkpoint of step %d removed", old)
                durable_io.remove(self.folder / f"step-{old:08d}")

    def steps(self) -> list[int]:
        """Return the steps of all published checkpoints, in rising order."""
        return sorted(int(path.name[5:]) for path in self.folder.glob("step-*") if path.name[5:].isdigit())

    def newest(self, step: int | None = None) -> SavedCheckpoint | None:
        """Return the newest checkpoint, or that of `step`, after checking every byte; None without a checkpoint.

        Raises UserError for a step without a checkpoint, FaultError for a damaged checkpoint, naming the
        checkpoint before it.
        """
        steps = self.steps()
        if step is not None and step not in steps:
            raise UserError(f"{self.folder}: has no checkpoint of step {step}; there are {steps or 'none'}")
        if not steps:
            return None
        chosen = steps[-1] if step is None else step
        folder = self.folder / f"step-{chosen:08d}"
        try:
            files, state = _check_files(folder)
            return SavedCheckpoint(step=chosen, folder=folder, files=files, state=state)
        except FaultError as error:
            earlier = [n for n in steps if n < chosen]
            hint = f"start again with --from-step {earlier[-1]}" if earlier else "there is no checkpoint before it"
            raise FaultError(f"checkpoint {folder.name}: {error}; {hint}") from None

    def load(self, saved: SavedCheckpoint, model: nn.Module, optimizer: optim.Optimizer) -> None:
        """Load a checkpoint's tensors into model and optimizer, for any number of ranks.

        Raises FaultError for a file that holds anything but a checkpoint; no code in it is run.
        """
        # torch loads in place: this model's tensors say which parts this rank reads, whatever world size wrote them.
        model_state, optimizer_state = get_state_dict(model, optimizer)
        state: dict[str, Any] = {"model": model_state, "optim": optimizer_state}
        try:
            reader = CheckpointReader(saved.folder, saved.files)
            dcp.load(state, storage_reader=reader, planner=CheckpointPlanner())
        except FaultError as error:
            raise FaultError(f"checkpoint {saved.folder}: {error}") from None
        except CheckpointException as error:
            cause = next(iter(error.failures.values()))[0]
            # torch's own message advises to read such a file in a way that runs the code in it, so it is not shown.
            problem = "holds more than tensors and numbers" if isinstance(cause, UnpicklingError) else str(cause)
            raise FaultError(f"checkpoint {saved.folder}: {problem}") from None
        set_state_dict(model, optimizer, model_state_dict=state["model"], optim_state_dict=state["optim"])


def _check_files(folder: Path) -> tuple[frozenset[str], dict[str, Any]]:
    """Return the names of a checkpoint's files, and the state in its manifest.

    Raises FaultError unless the files that the manifest lists are there, each as it was written. No other is ever read.
    """
    if not (folder / MANIFEST).is_file():
        raise FaultError(f"{MANIFEST} is missing")
    values = unseal((folder / MANIFEST).read_bytes(), "checkpoint", MANIFEST)
    listed, state = values.get("files"), values.get("state")
    if not isinstance(listed, dict) or not isinstance(state, dict) or METADATA not in listed:
        raise FaultError(f"{MANIFEST} lists no {METADATA}, so it is not of a checkpoint")
    names = frozenset(listed)
    for name, expected in listed.items():
        path = folder / name
        if Path(name).name != name or path.is_symlink():
            raise FaultError(f"{MANIFEST} lists {name!r}, which is no file of this folder")
        if not path.is_file():
            raise FaultError(f"{name} is missing")
        if {"bytes": path.stat().st_size, "sha256": sha256_file(path)} != expected:
            raise FaultError(f"{name} is damaged")
    return names, state
