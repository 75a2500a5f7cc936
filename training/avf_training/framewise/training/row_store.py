"""Arrays on the disk in place of memory: written once, mapped for reading, gone with the process.

A corpus has more features than memory: 3 million frames of 4,736 values are 57 GB. The system keeps in memory what is
read often, and gives it up for whoever needs memory more.
"""

import mmap
import os
import tempfile
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import numpy.typing as npt
from avf_shards.errors import UserError

FILE_BYTES = 2**30  # of a file; a larger array has one of its own size
_ALIGNMENT = 64  # bytes
AnyArray = TypeVar("AnyArray", bound=npt.NDArray[Any])


class RowStore:
    """Files without a name in a folder, each mapped once: few file descriptors for many arrays."""

    def __init__(self, folder: Path) -> None:
        """Make nothing yet. `folder`: where files are, or the nearest folder above that exists."""
        self._folder = next(each for each in (folder, *folder.absolute().parents) if each.is_dir())
        self._file: tuple[IO[bytes], mmap.mmap] | None = None  # that is being written, and its map
        self._used = 0
        self._size = 0

    def keep(self, array: AnyArray) -> AnyArray:
        """Write an array; return it as it is read from the disk, read-only. Raises UserError for a full disk."""
        if not array.nbytes:
            return array
        try:
            return self._write(array)
        except OSError as error:
            raise UserError(
                f"{self._folder}: cannot hold the rows of the tracks ({error.strerror}); make room, or keep them in "
                "memory with --set rows_in=memory"
            ) from error

    def _write(self, array: AnyArray) -> AnyArray:
        if self._file is None or self._used + array.nbytes > self._size:
            self._file = self._begin_file(max(FILE_BYTES, array.nbytes))
        file, mapped = self._file
        # Written and not copied into the map: a full disk is an error here, and would be a signal there.
        data, offset = np.ascontiguousarray(array).data.cast("B"), self._used
        while data:
            written = os.pwrite(file.fileno(), data, offset)
            data, offset = data[written:], offset + written
        stored: Any = np.frombuffer(mapped, array.dtype, array.size, self._used).reshape(array.shape)
        self._used += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
        rows: AnyArray = stored
        return rows

    def _begin_file(self, size: int) -> tuple[IO[bytes], mmap.mmap]:
        file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 (lives as long as its arrays)
        os.ftruncate(file.fileno(), size)  # takes no space yet
        self._used, self._size = 0, size
        return file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
