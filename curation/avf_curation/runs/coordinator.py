"""The coordinator of a run: the only process that may hand out its units.

A coordinator leaves a marker, RUN/log/coordinator-000001.json, under the next free number. The marker is linked to its
name, which fails when the name is taken; this also holds on NFS, where file locks do not. A marker counts for nothing
when its process is gone, or, on another machine, when it was not touched for a minute: no lock is left behind.
"""

import json
import logging
import os
import shutil
import socket
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from avf_shards.errors import UserError
from avf_shards.format.run_folder import RunFolder

from avf_curation.execution.events import Event, EventLog
from avf_curation.pipeline.failures import InfrastructureError

log = logging.getLogger(__name__)
_TOUCH_INTERVAL_S = 10.0
_DEAD_AFTER_S = 60.0  # without a touch, on another machine; six intervals, for a slow network file system
_CLOCK_TOLERANCE_S = 5.0  # between a process's start time and the wall clock in its marker


@dataclass(frozen=True, kw_only=True)
class CoordinatorRecord:
    """A coordinator as its marker describes it."""

    path: Path  # of the marker
    pid: int
    host: str
    alive: bool  # as far as this machine can tell

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def read_records(run: RunFolder) -> list[CoordinatorRecord]:
    """Return the records of all markers, by number. A marker that cannot be read is skipped."""
    records = []
    for path in sorted(run.log_folder.glob("coordinator-*.json")):
        try:
            values = json.loads(path.read_text("utf-8"))
            pid, host, since_s = int(values["pid"]), str(values["host"]), float(values["since"])
            alive = _is_alive(path, pid, host, since_s)
            records.append(CoordinatorRecord(path=path, pid=pid, host=host, alive=alive))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return records


def active_coordinator(run: RunFolder) -> CoordinatorRecord | None:
    """Return the newest coordinator that is alive, or None."""
    return next((record for record in reversed(read_records(run)) if record.alive), None)


def _is_alive(marker: Path, pid: int, host: str, since_s: float) -> bool:
    if host != socket.gethostname():
        return _file_system_time_s(marker.parent) - marker.stat().st_mtime < _DEAD_AFTER_S
    try:
        # A process that started after the marker was written is another one, which got the same number.
        return psutil.Process(pid).create_time() < since_s + _CLOCK_TOLERANCE_S
    except psutil.Error:
        return False


def _file_system_time_s(folder: Path) -> float:
    """Return the time by the clock that stamps the files in `folder`, which may be a file server's."""
    probe = folder / f"clock-{uuid.uuid4().hex[:8]}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        probe.unlink(missing_ok=True)


class Coordinator:
    """Makes this process the coordinator of a run while the context is open. Call `check` between units."""

    def __init__(self, run: RunFolder, emit: EventLog, min_free_gb: float) -> None:
        self._run, self._emit, self._min_free_gb = run, emit, min_free_gb
        self._stopped = threading.Event()
        self._touch_thread = threading.Thread(target=self._touch_marker, daemon=True)
        self.marker: Path | None = None

    def __enter__(self) -> Self:
        """Raise UserError when another coordinator is at work, InfrastructureError when the disk is almost full."""
        self._check_disk()
        self.marker = self._claim()
        self._touch_thread.start()
        self._emit(Event(name="run_started", message=f"process {os.getpid()} on {socket.gethostname()}"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        if kind is None:
            self._emit(Event(name="run_finished"))
        else:
            self._emit(Event(name="run_stopped", message=str(error)))
        if self.marker is not None:
            self.marker.unlink(missing_ok=True)

    def check(self) -> None:
        """Raise InfrastructureError when the disk is almost full or another coordinator took over."""
        self._check_disk()
        if self.marker is not None and not self.marker.exists():
            raise InfrastructureError(
                f"{self._run.root}: another coordinator took this run over (the marker {self.marker.name} is gone); "
                "nothing is lost"
            )

    def _claim(self) -> Path:
        """Put a marker under the next free number, and return its path.

        Two processes may claim at the same time. Each looks again after its own marker is in place, so at least one of
        them sees the other; if both do, both give way. Raises UserError.
        """
        while True:
            earlier = read_records(self._run)
            self._refuse_if_active(earlier)
            number = max((int(record.path.stem.removeprefix("coordinator-")) for record in earlier), default=0) + 1
            marker = self._run.log_folder / f"coordinator-{number:06d}.json"
            if not self._create_marker(marker):
                continue
            try:
                self._refuse_if_active([record for record in read_records(self._run) if record.path != marker])
            except UserError:
                marker.unlink(missing_ok=True)
                raise
            # Only now, so that a process that looked in the meantime has seen at least one marker.
            for record in earlier:
                log.info("took the run over from %s, which is gone", record)
                record.path.unlink(missing_ok=True)
            return marker

    def _refuse_if_active(self, records: list[CoordinatorRecord]) -> None:
        for record in records:
            if record.alive:
                raise UserError(
                    f"--out {self._run.root}: {record} is at work on it, as {record.path} says; wait for it or stop it"
                )

    def _create_marker(self, marker: Path) -> bool:
        """Create the marker, complete from the first moment. Return False when the name is taken."""
        values = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
        temporary = self._run.log_folder / f"claim-{uuid.uuid4().hex[:8]}"
        temporary.write_text(json.dumps(values), "utf-8")
        try:
            os.link(temporary, marker)
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links: the check and the rename leave a small gap
            if marker.exists():
                return False
            os.rename(temporary, marker)
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def _touch_marker(self) -> None:
        while not self._stopped.wait(_TOUCH_INTERVAL_S):
            if self.marker is not None and self.marker.exists():
                os.utime(self.marker)

    def _check_disk(self) -> None:
        free_gb = shutil.disk_usage(self._run.log_folder).free / 1e9
        if free_gb < self._min_free_gb:
            self._emit(Event(name="disk_almost_full", message=f"{free_gb:.2f} GB free"))
            raise InfrastructureError(
                f"{self._run.root}: {free_gb:.2f} GB free, less than --min-free-gb {self._min_free_gb:g}; "
                "make room, then the same command goes on"
            )
