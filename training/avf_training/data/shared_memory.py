"""How much shared memory the workers of a loader have: containers have 64 MB unless they are given more.

A worker that fills shared memory which is not there is ended by the kernel (SIGBUS), without a word about why.
"""

import os

from avf_shards.errors import UserError

FOLDER = "/dev/shm"
LEAST_BYTES = 64 * 2**20  # with so much or less no worker is started: it holds a few batches of one worker at most


def free_shared_memory() -> int | None:
    """Return the bytes of shared memory that are free; None where the system does not say, as on macOS."""
    try:
        status = os.statvfs(FOLDER)
    except OSError:
        return None
    return status.f_bavail * status.f_frsize


def is_too_small() -> bool:
    """Return whether there is too little shared memory for any worker."""
    free_bytes = free_shared_memory()
    return free_bytes is not None and free_bytes <= LEAST_BYTES


def check_space(needed_bytes: int) -> None:
    """Raise UserError where so many bytes are not free: filling them would end the process."""
    free_bytes = free_shared_memory()
    if free_bytes is not None and free_bytes < needed_bytes:
        raise UserError(
            f"{FOLDER}: {free_bytes / 1e6:,.0f} MB are free, and the next part of a batch takes "
            f"{needed_bytes / 1e6:,.0f} MB; give the container more shared memory "
            "(docker run --shm-size 8g), or set fewer workers"
        )
