"""Makes previews in a process of their own: a file that crashes or hangs a decoder costs one preview, and no page."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Self

import psutil
from avf_shards.errors import FaultError
from avf_shards.system.child_process import end_with_parent, module_command
from avf_shards.system.memory_limit import lower_limit

from avf_curation.media.preview import Preview
from avf_curation.media.types import MediaError

_POLL_S = 0.2
_WALL_FACTOR = 4  # a process that waits for its disk may take this many times its CPU limit in wall-clock time
_LOADING_S = 120  # allowed in addition, for loading the libraries
_RESERVED_BYTES = 8_000_000_000  # RLIMIT_DATA counts what libraries reserve and never touch


@dataclass(frozen=True, kw_only=True)
class PreviewLimits:
    """What one preview may take."""

    cpu_s: float
    memory_mb: float  # resident


class PreviewProcess:
    """A child process that makes one preview after another, and is started anew after one that ended it."""

    def __init__(self, limits: PreviewLimits) -> None:
        """Start nothing yet."""
        self._limits = limits
        self._child: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def make(self, work: Callable[[], Preview]) -> Preview:
        """Return what `work` returns: a function of a module, or a partial call of one.

        Raises:
            MediaError: as `work`; also of kind "killed", "cpu_limit", "time_limit" or "memory_limit" where the
                process ended or took more than it may.
            FaultError, OSError: as `work`.
        """
        child, connection = self._start()
        try:
            connection.send(work)
            fault = self._wait(child, connection)
            if fault is not None:
                self.close()
                raise fault
            result = connection.recv()
        except (EOFError, OSError):
            status = child.wait()
            self.close()
            raise MediaError("killed", f"its process {_describe_exit(status)}") from None
        match result:
            case Preview():
                return result
            case ("media", str() as kind, str() as message):
                raise MediaError(kind, message)
            case OSError() | FaultError():
                raise result
        raise AssertionError(f"a preview's process sent {type(result).__name__}")

    def close(self) -> None:
        """End the process. The next preview starts another."""
        if self._connection is not None:
            self._connection.close()
        if self._child is not None:
            self._child.kill()
            self._child.wait()
        self._child = self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> tuple["subprocess.Popen[bytes]", Connection]:
        if self._child is not None and self._child.poll() is not None:
            self.close()
        if self._child is None or self._connection is None:
            self._connection, theirs = Pipe()
            memory_bytes = int(self._limits.memory_mb * 1e6)
            command = module_command(__name__, str(os.getpid()), str(theirs.fileno()), str(memory_bytes))
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=environment,
                pass_fds=[theirs.fileno()],
                process_group=0,  # Ctrl-C goes to the command alone, which ends this process without a traceback
            )
            theirs.close()
        return self._child, self._connection

    def _wait(self, child: "subprocess.Popen[bytes]", connection: Connection) -> MediaError | None:
        """Wait for an answer, or the end of the process; return what it took too much of."""
        process, started_s = psutil.Process(child.pid), time.monotonic()
        cpu_before_s = _cpu_s(process)
        limits = self._limits
        timeout_s = _LOADING_S + _WALL_FACTOR * limits.cpu_s
        while not connection.poll(_POLL_S):
            try:
                resident_mb, cpu_s = process.memory_info().rss / 1e6, _cpu_s(process) - cpu_before_s
            except psutil.Error:  # it has ended, which the connection tells
                continue
            if resident_mb > limits.memory_mb:
                return MediaError("memory_limit", f"its preview took more than {limits.memory_mb:g} MB of memory")
            if cpu_s > limits.cpu_s:
                return MediaError("cpu_limit", f"its preview took more than {limits.cpu_s:g} s of CPU time")
            if time.monotonic() - started_s > timeout_s:
                return MediaError("time_limit", f"its preview took more than {timeout_s:g} s")
        return None


def _cpu_s(process: psutil.Process) -> float:
    usage = process.cpu_times()
    return float(usage.user + usage.system)


def _describe_exit(status: int) -> str:
    return f"died of {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


def _answer(work: Callable[[], Preview]) -> object:
    try:
        return work()
    except MediaError as error:
        return "media", error.kind, str(error)
    except MemoryError:
        return "media", "memory_limit", "its preview asks for more memory than it may take"
    except (FaultError, OSError) as error:
        return error
    except Exception as error:  # the preview is one of many
        return "media", "exception", f"{type(error).__name__}: {error}"


def main(connection: Connection, memory_bytes: int) -> None:
    """Answer until the parent closes the connection."""
    lower_limit(resource.RLIMIT_CORE, 0)
    lower_limit(resource.RLIMIT_DATA, _RESERVED_BYTES + memory_bytes)
    while True:
        try:
            work = connection.recv()
        except EOFError:
            return
        connection.send(_answer(work))


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]), signal.SIGKILL)
    main(Connection(int(sys.argv[2])), int(sys.argv[3]))
