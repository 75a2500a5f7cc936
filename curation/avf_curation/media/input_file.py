"""The file object through which FFmpeg reads an input, so that a failing read is never taken for damaged data.

FFmpeg's demuxers go on after a read error, or take it for the end of the file. Here every read is the project's own: it
is tried once more after a pause, and an error that stays is remembered and raised after the call into FFmpeg.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
from avf_shards.system.memory_limit import can_reserve
from avf_shards.system.storage_faults import is_ffmpeg_error, open_plain, retry_read

from avf_curation.media.channel_order import ChannelOrder

_PACKET_BYTES = 64_000_000  # more than a packet that is stored compressed grows by, and than FFmpeg takes at a time
_INVALID_DATA = 1094995529  # AVERROR_INVALIDDATA, as PyAV counts it


class InputFile:
    """A file for PyAV to read. It raises nothing while FFmpeg reads; `check` raises the error that stopped reading."""

    def __init__(self, path: Path) -> None:
        """Open the file. Raises OSError."""
        self._path, self._position, self._descriptor = path, 0, -1
        self.name = str(path)  # PyAV gives it to FFmpeg, which looks at the extension
        self._error: OSError | None = None
        self.size = retry_read(self._open, path)

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, nothing at the end of the file and after an error."""
        if self._error is not None:
            return b""
        try:
            data = self._read(size)
        except OSError as error:
            # PyAV would keep an exception for its next call in this thread, which may be about another file.
            self._error = error
            return b""
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position and return it."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        if start + offset < 0:
            raise ValueError(f"position {start + offset}")
        self._position = start + offset
        return self._position

    def read_beside(self, position: int, size: int) -> bytes:
        """Return up to `size` bytes from a position, and leave FFmpeg's position as it is. Raises as `check`."""
        before, self._position = self._position, position
        data = self.read(size)
        self._position = before
        self.check()
        return data

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def check(self) -> None:
        """Raise the OSError that stopped reading."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.close()

    def _open(self) -> int:
        """Open the file, anew where it is open, and return its size in bytes."""
        self.close()
        self._descriptor = open_plain(self._path, os.O_RDONLY)
        return os.fstat(self._descriptor).st_size

    def _read(self, size: int) -> bytes:
        try:
            return os.pread(self._descriptor, size, self._position)
        except OSError:  # the handle may be stale: each further try opens the file anew
            return retry_read(lambda: self._reopen_and_read(size), self._path)

    def _reopen_and_read(self, size: int) -> bytes:
        self._open()
        return os.pread(self._descriptor, size, self._position)


class InputContainer:
    """PyAV's container of an input whose reads are checked: the methods raise OSError where a read failed."""

    def __init__(self, container: Any, file: InputFile | None = None) -> None:
        """Hold an open container.

        Args:
            file: what the container reads from; None where it reads from memory.
        """
        self._container, self._file = container, file
        self.format: Any = container.format
        self.name: str = container.name
        self.duration: int | None = container.duration  # microseconds, as declared
        self.size_bytes = 0 if file is None else file.size  # of the file; 0 in memory
        self.channel_orders: dict[int, ChannelOrder] = {}  # by index of the stream; none where the order is FFmpeg's

    @property
    def streams(self) -> Any:
        """Return PyAV's streams; none after `close`."""
        return self._container.streams

    def demux(self, streams: Any) -> Iterator[Any]:
        """Yield packets as PyAV does. Raises av.error.FFmpegError, and OSError where a read failed."""
        packets = self._container.demux(streams)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                self._check()
                return
            except Exception as error:
                self._check()
                if isinstance(error, MemoryError) and is_ffmpeg_error(error) and self._has_memory_for_packets():
                    message = "a packet declares a size that it cannot have"
                    raise av.error.InvalidDataError(_INVALID_DATA, message, self.name) from None
                raise
            self._check()
            yield packet

    def seek(self, offset: int, **options: Any) -> None:
        """Seek as PyAV does. Raises as `demux`."""
        try:
            self._container.seek(offset, **options)
        finally:
            self._check()

    def read_bytes(self, position: int, size: int) -> bytes:
        """Return up to `size` bytes of the file from a position; none of an input in memory. Raises OSError."""
        return b"" if self._file is None else self._file.read_beside(position, size)

    def close(self) -> None:
        """Close container and file."""
        self._container.close()
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _has_memory_for_packets(self) -> bool:
        """Return whether any packet that the file can hold would get its memory: asked, not looked up.

        FFmpeg refuses a declared size beyond 2 GB with the error that a full machine gives too.
        """
        return can_reserve(self.size_bytes + _PACKET_BYTES)

    def _check(self) -> None:
        if self._file is not None:
            self._file.check()
