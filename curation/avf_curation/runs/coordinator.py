"""The one coordinator of a run: who it is, that no other is at work, that the disk has room.

Markers are numbered files, RUN/log/coordinator-000001.json, each linked to a name that must be free: no lock to be left
behind. A marker whose process is gone, or on another machine was not touched for a minute, counts for nothing.
"""

import json
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

_TOUCH_S, _GONE_S = 10.0, 60.0


@dataclass(frozen=True, kw_only=True)
class CoordinatorRecord:
    """A coordinator that says it is at work. alive: as far as this machine can tell."""

    path: Path
    pid: int
    host: str
    alive: bool

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def read_records(run: RunFolder) -> list[CoordinatorRecord]:
    """All markers, by number."""
    found = []
    for path in sorted(run.log_folder.glob("coordinator-*.json")):
        try:
            values = json.loads(path.read_text("utf-8"))
            pid, host, since = int(values["pid"]), str(values["host"]), float(values["since"])
            found.append(CoordinatorRecord(path=path, pid=pid, host=host, alive=_alive(path, pid, host, since)))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def active_coordinator(run: RunFolder) -> CoordinatorRecord | None:
    """The living coordinator, if there is one."""
    return next((marker for marker in reversed(read_records(run)) if marker.alive), None)


def _alive(path: Path, pid: int, host: str, since: float) -> bool:
    if host != socket.gethostname():
        return _now_there(path.parent) - path.stat().st_mtime < _GONE_S
    try:
        return psutil.Process(pid).create_time() < since + 5  # another process may have got the number since
    except psutil.Error:
        return False


def _now_there(folder: Path) -> float:
    """The time by the clock that stamps files in `folder`, which may be another machine's."""
    probe = folder / f"clock-{uuid.uuid4().hex[:8]}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        probe.unlink(missing_ok=True)


class Coordinator:
    """Be the coordinator of a run; raises UserError when another is. `check` between units."""

    def __init__(self, run: RunFolder, tell: EventLog, min_free_gb: float) -> None:
        self._run, self._tell, self._min_free_gb = run, tell, min_free_gb
        self._stop = threading.Event()
        self._toucher = threading.Thread(target=self._touch, daemon=True)
        self.marker: Path | None = None

    def __enter__(self) -> Self:
        self._check_disk()
        self.marker = self._claim()
        self._toucher.start()
        self._tell(Event(name="run_started", message=f"process {os.getpid()} on {socket.gethostname()}"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._tell(
            Event(name="run_finished" if kind is None else "run_stopped", message=None if kind is None else str(error))
        )
        if self.marker is not None:
            self.marker.unlink(missing_ok=True)

    def check(self) -> None:
        """Raise InfrastructureError when the disk is almost full or another coordinator took over."""
        self._check_disk()
        if self.marker is not None and not self.marker.exists():
            raise InfrastructureError("another coordinator took this run over (its marker is gone); nothing is lost")

    def _claim(self) -> Path:
        """Take the next free number, then look again: of two that found each other, both give way."""
        while True:
            before = read_records(self._run)
            self._refuse_beside(before)
            number = max((int(other.path.stem.removeprefix("coordinator-")) for other in before), default=0) + 1
            mine = self._run.log_folder / f"coordinator-{number:06d}.json"
            if not self._take(mine):
                continue
            try:
                self._refuse_beside([other for other in read_records(self._run) if other.path != mine])
            except UserError:
                mine.unlink(missing_ok=True)
                raise
            for other in before:  # only now, so that whoever looked in between saw one of us
                other.path.unlink(missing_ok=True)
            return mine

    def _refuse_beside(self, others: list[CoordinatorRecord]) -> None:
        for other in others:
            if other.alive:
                raise UserError(
                    f"--out {self._run.root}: {other} is at work on it; wait for it or stop it "
                    f"(it says so in {other.path})"
                )

    def _take(self, mine: Path) -> bool:
        """Give our marker its name, complete from the first moment; False when the name is taken."""
        values = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
        temporary = self._run.log_folder / f"claim-{uuid.uuid4().hex[:8]}"
        temporary.write_text(json.dumps(values), "utf-8")
        try:
            os.link(temporary, mine)
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            if mine.exists():
                return False
            os.rename(temporary, mine)
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def _touch(self) -> None:
        while not self._stop.wait(_TOUCH_S):
            if self.marker is not None and self.marker.exists():
                os.utime(self.marker)

    def _check_disk(self) -> None:
        free_gb = shutil.disk_usage(self._run.log_folder).free / 1e9
        if free_gb < self._min_free_gb:
            self._tell(Event(name="disk_almost_full", message=f"{free_gb:.2f} GB free"))
            raise InfrastructureError(
                f"{self._run.root}: {free_gb:.2f} GB free, less than --min-free-gb {self._min_free_gb:g}; "
                "make room, then the same command goes on"
            )
