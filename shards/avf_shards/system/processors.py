"""How much a process may compute at once."""

import os


def count_usable_cores() -> int:
    """Return the cores that this process may use, 1 at least; those of the machine where its system does not say."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
