"""A limit on the memory that a piece of work may take beyond what its process has.

Linux counts private writable memory for RLIMIT_DATA, reserved or touched. Elsewhere no limit on memory is set.
"""

import mmap
import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STATUS = Path("/proc/self/status")


class _Limit:
    """The limit of this process: which blocks hold it, and what held before the first of them."""

    def __init__(self) -> None:
        self._lock, self._blocks, self._before = threading.Lock(), 0, (0, 0)

    def enter(self, allowed_bytes: int) -> None:
        with self._lock:
            soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
            if self._blocks == 0:
                self._before = (soft, hard)
            self._blocks += 1
            limits = [limit for limit in (soft, hard, allowed_bytes) if limit != resource.RLIM_INFINITY]
            resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))

    def leave(self) -> None:
        with self._lock:
            self._blocks -= 1
            if self._blocks == 0:
                resource.setrlimit(resource.RLIMIT_DATA, self._before)


_LIMIT = _Limit()


def lower_limit(kind: int, soft: int, hard: int | None = None) -> None:
    """Set a limit of this process, for good, to `soft` and `hard` or to what already holds where that is lower.

    RLIMIT_DATA is left as it is where Linux does not count for it: other systems count other memory, or none.

    Args:
        kind: a resource.RLIMIT_ constant, which also says the unit.
        hard: None: as `soft`.
    """
    if kind == resource.RLIMIT_DATA and sys.platform != "linux":
        return
    present = resource.getrlimit(kind)
    asked = (soft, soft if hard is None else hard)
    lowest = [min(limits, key=_size) for limits in zip(asked, present, strict=True)]
    resource.setrlimit(kind, (lowest[0], lowest[1]))


def _size(limit: int) -> float:
    """Return a limit as a number that compares; RLIM_INFINITY is -1."""
    return float("inf") if limit == resource.RLIM_INFINITY else limit


def can_reserve(size_bytes: int) -> bool:
    """Return whether this process gets so much memory now: asked, because a `ulimit` is not seen in what is free."""
    try:
        with mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS):
            return True
    except (OSError, MemoryError, OverflowError):
        return False


def inherited_limit_bytes() -> float:
    """Return the lowest limit on the memory of this process that `ulimit -v` or `-d` has set; infinity for none."""
    limits = (limit for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA) for limit in resource.getrlimit(kind)[:1])
    return min((_size(limit) for limit in limits), default=float("inf"))


@contextmanager
def limit_memory(extra_bytes: float) -> Iterator[None]:
    """Let allocations fail in the block that go beyond what the process has now by `extra_bytes`.

    An allocation that fails raises MemoryError in Python and NumPy, and is an error of FFmpeg. The limit is the whole
    process's, so a thread of another task meets it too. Of blocks that hold at once, in this thread or in others, the
    lowest limit counts, and it ends with the last of them.
    """
    reserved_bytes = reserved_memory_bytes()
    if reserved_bytes is None:
        yield
        return
    _LIMIT.enter(int(reserved_bytes + extra_bytes))
    try:
        yield
    finally:
        _LIMIT.leave()


def reserved_memory_bytes() -> int | None:
    """Return the private writable memory of this process that RLIMIT_DATA counts; None where Linux does not say it."""
    if sys.platform != "linux":
        return None
    for line in _STATUS.read_text("ascii").splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return None
