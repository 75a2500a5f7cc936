"""A limit on the memory that a piece of work may take beyond what its process has.

Linux counts private writable memory for RLIMIT_DATA, reserved or touched. Elsewhere these functions do nothing.
"""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STATUS = Path("/proc/self/status")


@contextmanager
def limit_memory(extra_bytes: float) -> Iterator[None]:
    """Let allocations fail in the block that go beyond what the process has now by `extra_bytes`.

    An allocation that fails raises MemoryError in Python and NumPy, and is an error of FFmpeg. The limit is the whole
    process's, so a thread of another task meets it too; a lower limit that holds already stays.
    """
    reserved_bytes = reserved_memory_bytes()
    if reserved_bytes is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = int(reserved_bytes + extra_bytes)
    limits = [limit for limit in (soft, hard, allowed) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def reserved_memory_bytes() -> int | None:
    """Return the private writable memory of this process that RLIMIT_DATA counts; None where Linux does not say it."""
    if sys.platform != "linux":
        return None
    for line in _STATUS.read_text("ascii").splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return None
