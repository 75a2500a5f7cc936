"""The one process that coordinates a run: no other works on the run beside it, and the disk has room."""

import os
import shutil
import socket
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from avf_shards.format.run_folder import COORDINATOR, RunFolder
from avf_shards.system.run_lock import LockHolder, current_holder

from avf_curation.execution.events import Event, EventLog
from avf_curation.pipeline.failures import InfrastructureError


def active_coordinator(run: RunFolder) -> LockHolder | None:
    """Return the living process that coordinates the run, or None."""
    return current_holder(run.log_folder, COORDINATOR)


class Coordinator:
    """Makes this process the coordinator of a run while the context is open. Call `check` between units."""

    def __init__(self, run: RunFolder, emit: EventLog, min_free_gb: float) -> None:
        self._run, self._emit, self._min_free_gb = run, emit, min_free_gb
        self._lock = run.lock()

    def __enter__(self) -> Self:
        """Raise UserError when another coordinator is at work, InfrastructureError when the disk is almost full."""
        self._check_disk()
        with ExitStack() as stack:
            stack.enter_context(self._lock)
            self._emit(Event(name="run_started", message=f"process {os.getpid()} on {socket.gethostname()}"))
            stack.pop_all()  # an event that cannot be written leaves no lock behind
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._emit(Event(name="run_finished"))
            else:
                self._emit(Event(name="run_stopped", message=str(error) or kind.__name__))  # Ctrl-C has no words
        finally:
            self._lock.__exit__(kind, error, trace)

    def check(self) -> None:
        """Raise InfrastructureError when the disk is almost full or another coordinator took over."""
        self._check_disk()
        if self._lock.is_lost():
            raise InfrastructureError(
                f"{self._run.root}: another coordinator took this run over (the marker of this one is gone); "
                "nothing is lost"
            )

    def _check_disk(self) -> None:
        free_gb = shutil.disk_usage(self._run.log_folder).free / 1e9
        if free_gb < self._min_free_gb:
            self._emit(Event(name="disk_almost_full", message=f"{free_gb:.2f} GB free"))
            raise InfrastructureError(
                f"{self._run.root}: {free_gb:.2f} GB free, less than --min-free-gb {self._min_free_gb:g}; "
                "make room, then the same command continues"
            )
