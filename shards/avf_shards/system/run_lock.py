"""A lock on a folder, for one process at a time on any machine that mounts the folder, NFS included.

Whoever works in FOLDER leaves a marker there, NAME-000001.json: a numbered file that says which process that is. A
marker gets its name by a hard link, which fails when the name is taken. No file lock is used, since those are not
reliable on NFS, and no marker has to be removed by hand: a marker counts only while its process lives.

A marker holds a random token, since numbers start again at 1 when all markers are gone: a process whose number has
another process's marker now, with another token, has lost its lock. Markers of version 0.2 have no token, and need none
for others to understand them.

On the same machine that is looked up. The process of another machine counts as alive while it touches its marker.
Clocks step, and those of two machines differ, so no clock alone says that such a process is dead: a marker that looks
old, one from the future and one that cannot be read are watched for half a minute, by the monotonic clock, before they
are taken for a dead process's.
"""

import json
import logging
import os
import re
import socket
import threading
import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from avf_shards.errors import FaultError, UserError
from avf_shards.system.durable_io import AlreadyExistsError, sync_folder
from avf_shards.system.storage_faults import name_path, open_plain

log = logging.getLogger(__name__)
WAITING_LOG = logging.getLogger(f"{__name__}.waiting")
"""Warnings of a command that waits before its work; --quiet shows them, since nothing else would say why it stands."""

HEARTBEAT_S = 10.0
EXPIRES_S = 60.0  # six heartbeats: a machine that is busy or a file server that stalls does not lose its lock
WATCH_S = 30.0  # three heartbeats: a living process touches its marker meanwhile
_POLL_S = 0.5
_MAX_CLAIMS = 1000  # numbers that other processes may take in a row
_MAX_PID = 2**31 - 1  # of any system; a marker is a file that anybody may have written
_ENDED = -1  # no process starts at this tick


@dataclass(frozen=True, kw_only=True)
class LockHolder:
    """The process that a marker names."""

    path: Path  # the marker
    pid: int  # process id on `host`
    host: str  # name of the machine that the process runs on
    alive: bool  # as far as this machine can tell
    is_certain: bool = True  # False: only watching the marker can tell whether the process is dead
    touched_ns: int = 0  # when the marker was changed last, by the clock that stamps files in its folder

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" if self.pid else "a process whose marker cannot be read"


class RunLock:
    """The lock on a folder as a context manager.

    Entering raises UserError while another process holds the lock. An error that comes of another process's taking
    over leaves as UserError too.
    """

    def __init__(self, folder: Path, name: str, label: str) -> None:
        """Prepare the lock whose markers are FOLDER/NAME-*.json; messages call the folder `label`."""
        self._folder, self._name, self._label = folder, name, label
        self._released = threading.Event()
        self._heartbeat = threading.Thread(target=self._touch_until_released, name=f"{name} heartbeat", daemon=True)
        self._pid = 0
        self._content = b""  # of this process's marker, with its token
        self.marker: Path | None = None

    def __enter__(self) -> Self:
        self._pid = os.getpid()
        self._content = json.dumps(marker_values(self._pid) | {"token": uuid.uuid4().hex}).encode()
        self.marker = self._claim()
        self._heartbeat.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.marker is None or os.getpid() != self._pid:  # a forked child that unwinds must not release it
            return
        self._released.set()
        lost = not self._remove_own(self.marker)
        if lost and isinstance(error, OSError | FaultError | AlreadyExistsError):
            # Files that this process was about to use are gone, or stand there already.
            raise UserError(self._taken_over()) from error

    def is_lost(self) -> bool:
        """Return whether another process took over, as it may after this one was suspended for over a minute."""
        return self.marker is not None and not self._is_own(self.marker)

    def touch(self) -> None:
        """Touch the marker where it is this process's, as is done every HEARTBEAT_S. Raises OSError."""
        if self.marker is not None:
            with open(self.marker, "rb", opener=open_plain) as file:
                if file.read() == self._content:
                    os.utime(file.fileno())  # of the file that was read, whatever has its name by now

    def check(self) -> None:
        """Raise UserError when the lock is lost. To be called before anything is removed or published."""
        if self.is_lost():
            raise UserError(self._taken_over())

    def _is_own(self, marker: Path) -> bool:
        """Return whether the file is this process's marker, and not that of a successor which got the same number."""
        try:
            return marker.read_bytes() == self._content
        except FileNotFoundError:
            return False

    def _remove_own(self, marker: Path) -> bool:
        """Remove the marker where it is this process's; return whether it was."""
        own = self._is_own(marker)
        if own:
            marker.unlink(missing_ok=True)
        return own

    def _taken_over(self) -> str:
        return (
            f"{self._label}: another process took over while this one was suspended; this one stops here and has "
            "destroyed nothing. Start the command again"
        )

    def _claim(self) -> Path:
        """Take the next free number and return its marker. Raises UserError."""
        watched: dict[Path, int] = {}  # markers that were seen not to change, and their time
        for _ in range(_MAX_CLAIMS):
            others = read_holders(self._folder, self._name)
            self._refuse_beside(others)
            self._watch(others, watched)
            number = max((_number(path) for path in _markers(self._folder, self._name)), default=0) + 1
            marker = self._folder / f"{self._name}-{number:06d}.json"
            if not self._publish(marker):
                continue  # another process took this number since it was listed
            try:
                # Of two processes that took different numbers, each now sees the other's marker, and both give way.
                now = read_holders(self._folder, self._name)
                self._refuse_beside([holder for holder in now if holder.path != marker])
            except UserError:
                self._remove_own(marker)
                raise
            for holder in others:  # dead. Removed only now: a process that listed them in between sees this marker
                log.info("%s: took over from %s, which is gone", self._label, holder)
                holder.path.unlink(missing_ok=True)
            return marker
        raise UserError(f"{self._label}: markers appear faster than one can be added; see {self._folder}")

    def _watch(self, others: list[LockHolder], watched: dict[Path, int]) -> None:
        """Watch the markers of processes that may be dead. Raises UserError where one of them is touched."""
        doubtful = [each for each in others if not each.is_certain and watched.get(each.path) != each.touched_ns]
        if not doubtful:
            return
        WAITING_LOG.warning(
            "%s: waiting %g s to see whether %s is alive", self._label, WATCH_S, " or ".join(map(str, doubtful))
        )
        until_s = time.monotonic() + WATCH_S
        while time.monotonic() < until_s:
            time.sleep(min(_POLL_S, WATCH_S))
            for holder in doubtful:
                touched_ns = _touched_ns(holder.path)
                if touched_ns not in (0, holder.touched_ns):
                    self._refuse_beside([replace(holder, alive=True)])
        watched.update({holder.path: holder.touched_ns for holder in doubtful})

    def _refuse_beside(self, others: list[LockHolder]) -> None:
        for holder in others:
            if holder.alive:
                raise UserError(
                    f"{self._label}: {holder} is at work in it; wait for that process or stop it. Its marker is "
                    f"{holder.path}; if that machine is down, the marker expires after {EXPIRES_S:.0f} s"
                )

    def _publish(self, marker: Path) -> bool:
        """Write the marker under its name, complete from the first moment; False when the name is taken."""
        temporary = self._folder / f"{self._name}-claim-{uuid.uuid4().hex[:8]}"
        _write_durably(temporary, self._content)
        try:
            os.link(temporary, marker)
        except FileExistsError:
            # A file server that did not hear its own answer makes the link twice, and then refuses its own.
            return os.stat(temporary).st_nlink == 2
        except OSError:  # a file system without hard links, as a mounted object store: create it where the name is free
            try:
                _write_durably(marker, self._content)
            except FileExistsError:
                return False
        finally:
            temporary.unlink(missing_ok=True)
        try:
            sync_folder(self._folder)
        except BaseException:  # a marker of a process that goes on without it would keep all others out
            self._remove_own(marker)
            raise
        return True

    def _touch_until_released(self) -> None:
        while not self._released.wait(HEARTBEAT_S):
            try:
                self.touch()
            except OSError:  # the marker was taken away (see is_lost), or the file server does not answer now
                continue


def read_holders(folder: Path, name: str) -> list[LockHolder]:
    """Return the process of every marker in `folder`, by number, dead ones too; its pid is 0 where none can be read."""
    holders = []
    for path in _markers(folder, name):
        touched_ns = _touched_ns(path)
        try:
            with open(path, encoding="utf-8", opener=open_plain) as file:
                values = json.load(file)
            pid, host = _process_id(values["pid"]), str(values["host"])
            alive, is_certain = _is_alive(path, pid, str(values["machine"]), values["started"])
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            pid, host, alive, is_certain = 0, "", False, False
        holders.append(
            LockHolder(path=path, pid=pid, host=host, alive=alive, is_certain=is_certain, touched_ns=touched_ns)
        )
    return holders


def _process_id(value: object) -> int:
    """Return the process id in a marker. Raises ValueError for what is none."""
    if type(value) is int and 0 < value <= _MAX_PID:
        return value
    raise ValueError("not a process id")


def current_holder(folder: Path, name: str) -> LockHolder | None:
    """Return the living process that holds the lock, or None."""
    return next((holder for holder in reversed(read_holders(folder, name)) if holder.alive), None)


def lock_files(folder: Path, name: str) -> list[Path]:
    """Return every file that locks of this name left in `folder`: markers, and temporary files of killed processes."""
    return sorted(folder.glob(f"{name}-*"))


def marker_values(pid: int) -> dict[str, Any]:
    """Return what a marker says of a process of this machine."""
    return {"pid": pid, "host": socket.gethostname(), "machine": _machine(), "started": _start_tick(pid)}


def _markers(folder: Path, name: str) -> list[Path]:
    pattern = re.compile(rf"{re.escape(name)}-[0-9]{{1,15}}\.json")
    return sorted((path for path in folder.glob(f"{name}-*") if pattern.fullmatch(path.name)), key=_number)


def _number(marker: Path) -> int:
    return int(marker.stem.rpartition("-")[2])


def _touched_ns(marker: Path) -> int:
    """Return when a marker was changed last; 0 where it is gone."""
    try:
        return marker.stat().st_mtime_ns
    except OSError:
        return 0


def _write_durably(path: Path, content: bytes) -> None:
    with name_path(path), open(path, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _is_alive(marker: Path, pid: int, machine: str, started: int | None) -> tuple[bool, bool]:
    """Return whether a process lives, and whether that is certain without watching its marker."""
    if machine != _machine():
        return _is_fresh(marker), False
    tick = _start_tick(pid)
    if tick is not None:
        return tick == started != _ENDED, True  # another tick: another process got the number since
    if Path("/proc/self/stat").exists() or not _exists(pid):
        return False, True
    return _is_fresh(marker), False  # not Linux: the number may be another process's by now


def _machine() -> str:
    """Return a name for what process numbers are unique in: one boot of one machine, and one container in it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return socket.gethostname()


def _start_tick(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None where the system does not say."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # from field 3 on; field 2, the command, may hold spaces and brackets
    return _ENDED if fields[0] in "ZX" else int(fields[19])  # Z, X: ended, but its parent has not asked yet


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def _is_fresh(marker: Path) -> bool:
    return abs(_folder_time_s(marker) - marker.stat().st_mtime) < EXPIRES_S


def _folder_time_s(marker: Path) -> float:
    """Return the time by the clock that stamps files beside the marker, which may be a file server's."""
    probe = marker.with_name(f"{marker.stem.rpartition('-')[0]}-clock-{uuid.uuid4().hex[:8]}")
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        probe.unlink(missing_ok=True)
