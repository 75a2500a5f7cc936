"""Failing reads: which errors say something about the machine and not about a file, and trying again after a pause.

A file server that restarts, a disk that is lost, a process with too many open files: what such a read fails with must
never become an opinion about the file that was read.
"""

import errno
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from avf_shards.system.mirror_registry import fetch_stand_in, is_stand_in

T = TypeVar("T")
log = logging.getLogger(__name__)

#: Errors that are about the file. Any other is the machine's, its disks', its network's or its permissions': file
#: systems have many, and one that is not thought of here must not become an opinion about a file.
FILE_ERRNOS = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.EEXIST,
        errno.ENOTEMPTY,
        errno.EINVAL,
        errno.EILSEQ,
        errno.EFBIG,
        errno.EOVERFLOW,
        errno.ESPIPE,
    }
)
#: PyAV's module of errors. Some are OSErrors, but FFmpeg's demuxers use EIO and EAGAIN for data that are cut off.
_FFMPEG_ERRORS = "av.error"
#: Seconds to wait before each further try. A file server that restarts takes longer: then the unit is tried once more.
RETRY_PAUSES_S = (0.1, 0.5, 2.0)


def is_ffmpeg_error(error: BaseException) -> bool:
    """Return whether an error is FFmpeg's, by way of PyAV."""
    return type(error).__module__ == _FFMPEG_ERRORS


def is_machine_fault(error: BaseException) -> bool:
    """Return whether an error says something about the machine, and nothing about the file that was read."""
    if is_ffmpeg_error(error):
        return False
    return isinstance(error, OSError) and error.errno is not None and error.errno not in FILE_ERRNOS


def raise_machine_fault(error: BaseException) -> None:
    """Raise an error that says something about the machine once more; return for any other."""
    if is_machine_fault(error):
        raise error


@contextmanager
def name_path(path: Path) -> Iterator[None]:
    """Give an OSError of the block the path that it is about, where it has none: a read knows a handle alone."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None and not is_ffmpeg_error(error):
            error.filename = str(path)
        raise


def open_plain(path: str | Path, flags: int) -> int:
    """Open a file as `os.open` does; for `open` it is an `opener`.

    A FIFO in its place would keep the caller waiting for ever. Raises OSError with EINVAL, which is about the file, for
    whatever is neither a file nor a folder; what is only written may also be a device, such as /dev/null.

    The content of a file that a mirror has not fetched yet is fetched now (see `mirror_registry`).
    """
    try:
        descriptor = _open_fetched(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.ENXIO:  # a socket, or a FIFO that nobody reads
            raise
    else:
        mode = os.fstat(descriptor).st_mode
        is_written = flags & os.O_ACCMODE == os.O_WRONLY
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode) or (is_written and stat.S_ISCHR(mode)):
            return descriptor
        os.close(descriptor)
    raise OSError(errno.EINVAL, "is no plain file", str(path))


def _open_fetched(path: str | Path, flags: int) -> int:
    """Return a descriptor of `path`, whose content is fetched first where it is the stand-in of a mirror."""
    try:
        descriptor = os.open(path, flags, 0o666)
    except PermissionError:
        if not fetch_stand_in(path):
            raise
        return os.open(path, flags, 0o666)
    if not is_stand_in(os.fstat(descriptor)):
        return descriptor
    os.close(descriptor)  # the permissions of a stand-in keep nobody out who is root
    if not fetch_stand_in(path):
        raise OSError(errno.EACCES, "stands for an object of a store that is not open in this process", str(path))
    return os.open(path, flags, 0o666)


def refuse_special_file(path: Path) -> None:
    """Raise OSError as `open_plain` does for what is neither a file nor a folder; a missing one passes."""
    with suppress(FileNotFoundError):
        os.close(open_plain(path, os.O_RDONLY))


def fetch_content(*paths: Path) -> None:
    """Fetch files of a mirror here whose content is not here yet, for another process or library that opens them.

    A path that cannot be opened passes: whoever opens it says why.
    """
    for path in paths:
        with suppress(OSError):
            os.close(open_plain(path, os.O_RDONLY))


def retry_read(read: Callable[[], T], path: Path) -> T:
    """Return what `read` returns; after an error of the machine, call it once more after each of several pauses.

    An error whose attribute `was_repeated` is true comes from a store that has been asked again for a minute already.

    Raises the last OSError, which names `path`.
    """
    for pause_s in (*RETRY_PAUSES_S, None):
        try:
            with name_path(path):
                return read()
        except OSError as error:
            if pause_s is None or not is_machine_fault(error) or getattr(error, "was_repeated", False):
                raise
            log.warning("%s: %s; the next try is in %g s", path, error.strerror, pause_s)
            time.sleep(pause_s)
    raise AssertionError  # the last pass returns or raises


def read_bytes(path: Path, max_bytes: int = -1) -> bytes:
    """Return the content of a file, or its first `max_bytes`. Raises OSError as `retry_read`."""

    def read() -> bytes:
        with open(path, "rb", opener=open_plain) as file:
            return file.read(max_bytes)

    return retry_read(read, path)


def read_text(path: Path, encoding: str = "utf-8", errors: str = "strict") -> str:
    """Return the text of a file. Raises OSError as `retry_read`, and UnicodeDecodeError."""

    def read() -> str:
        with open(path, encoding=encoding, errors=errors, opener=open_plain) as file:
            return file.read()

    return retry_read(read, path)


def describe_fault(error: OSError) -> str:
    """Return the path, the name of the errno and its meaning, as in "/data/a.mp4: EIO, Input/output error"."""
    name = errno.errorcode.get(error.errno or 0, type(error).__name__)
    meaning = f"{name}, {error.strerror}" if error.strerror else name
    return f"{error.filename}: {meaning}" if error.filename else meaning
