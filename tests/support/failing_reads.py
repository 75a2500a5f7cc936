"""Reads of one file that fail: the n-th of all operations on it, and each later one or none."""

import builtins
import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from avf_shards.system import storage_faults


class ReadCounter:
    """Counts the operations on a file (stat, open, read), and lets some of them fail."""

    def __init__(self, path: Path, fails: Callable[[int], bool], number: int) -> None:
        self._path, self._fails, self._errno = str(path), fails, number
        self.count = 0  # of operations so far
        self.failed = 0  # of them

    def concerns(self, path: Any) -> bool:
        """Return whether a path, or an open descriptor, is that of the file."""
        if isinstance(path, int):
            return os.readlink(f"/proc/self/fd/{path}") == self._path
        return bool(os.fspath(path) == self._path)

    def operate(self, path: Any = None) -> None:
        """Count one operation. Raises OSError where it is to fail.

        Args:
            path: what the operation is given, which its error names; None: an open file.
        """
        self.count += 1
        if self._fails(self.count):
            self.failed += 1
            raise OSError(self._errno, os.strerror(self._errno), *([] if path is None else [path]))


class _CountedFile(io.FileIO):
    counter: ReadCounter

    def readinto(self, buffer: Any) -> int | None:
        self.counter.operate()
        return super().readinto(buffer)

    def readall(self) -> bytes:
        self.counter.operate()
        return super().readall()


@contextmanager
def failing_reads(
    path: Path, fails: Callable[[int], bool] = lambda count: False, number: int = errno.EIO
) -> Iterator[ReadCounter]:
    """Count the operations on a file inside the block; those of which `fails` says so by their number raise an OSError.

    Tries after a pause follow without a pause.
    """
    counter = ReadCounter(path, fails, number)
    real_open, real_pread, real_stat, real_os_open = builtins.open, os.pread, os.stat, os.open

    def counted_open(file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        if isinstance(file, int) or not counter.concerns(file):
            return real_open(file, mode, *arguments, **named)
        counter.operate(file)
        assert mode == "rb"
        raw = _CountedFile(file, "r")
        raw.counter = counter
        return io.BufferedReader(raw)

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(target: Any, *arguments: Any, **named: Any) -> Any:
            if counter.concerns(target):
                counter.operate(None if isinstance(target, int) else os.fspath(target))
            return real(target, *arguments, **named)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage_faults, "RETRY_PAUSES_S", (0.0,) * len(storage_faults.RETRY_PAUSES_S))
        patch.setattr(builtins, "open", counted_open)
        for name, real in (("pread", real_pread), ("stat", real_stat), ("open", real_os_open)):
            patch.setattr(os, name, counted(real))
        yield counter
