"""Free names beside a mirror, in a folder for each process; what processes left that died is removed."""

import fcntl
import os
import uuid
import weakref
from contextlib import suppress
from pathlib import Path

from avf_shards.system import durable_io

_LOCK = ".lock"


class TemporaryNames:
    """Names on the file system of a mirror under which a process makes files before they get their own.

    A process holds a lock beside its folder while it lives, so the next one can tell what a dead one left: it may be
    half of a large download.
    """

    def __init__(self, folder: Path) -> None:
        """Prepare names in `folder`, which is made with the first of them."""
        self._folder, self._own, self._process = folder, folder, 0

    def new(self) -> Path:
        """Return a free name."""
        if self._process != os.getpid() or not self._own.is_dir():
            self._make_own_folder()
        return self._own / uuid.uuid4().hex

    def remove_left_behind(self) -> None:
        """Remove the folders of processes that are dead."""
        for path in self._folder.glob(f"*{_LOCK}"):
            with suppress(OSError):  # it is held, or another process removes it
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    durable_io.remove_here(path.with_suffix(""))
                    path.unlink()
                finally:
                    os.close(descriptor)

    def _make_own_folder(self) -> None:
        own = self._folder / uuid.uuid4().hex
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(own.with_suffix(_LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        weakref.finalize(self, os.close, descriptor)
        with suppress(OSError):  # a file system without locks: nothing is ever removed there but by hand
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        own.mkdir(exist_ok=True)
        self._own, self._process = own, os.getpid()
