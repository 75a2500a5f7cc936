"""The new folder that a command writes its files into: all of them, or none where the command is interrupted."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.system import durable_io
from avf_shards.system.temporary_folder import (
    MARKER,
    claim_temporary_folder,
    clear_temporary_folder,
    is_temporary_folder,
)

_UNFINISHED = ".unfinished"


def check_new_folder(out: Path) -> None:
    """Raise UserError where `out` is a file, or holds files other than those of a process that was killed."""
    if out.exists() and (not out.is_dir() or any(not _is_unfinished(path) for path in out.iterdir())):
        raise UserError(f"{out}: not a new or empty folder; name another folder, or empty this one")


@contextmanager
def fill_new_folder(out: Path) -> Iterator[Path]:
    """Yield a folder to write to; its content moves into `out` at the end, and is removed after an exception.

    The folder lies in `out` and not beside it, because `out` can be a mount of its own.

    Raises:
        UserError: `out` is not new or empty.
    """
    check_new_folder(out)
    existed = out.exists()
    temporary = out / _UNFINISHED
    durable_io.make_folder(out)
    clear_temporary_folder(temporary)
    claim_temporary_folder(temporary)
    moved: list[Path] = []
    try:
        yield temporary
        for path in sorted(temporary.iterdir()):
            if path.name != MARKER:
                path.rename(out / path.name)
                moved.append(out / path.name)
        clear_temporary_folder(temporary)
        durable_io.sync_folder(out)
    except BaseException:
        for path in moved:
            durable_io.remove(path)
        clear_temporary_folder(temporary)
        if not existed:
            with suppress(OSError):  # somebody else put a file there meanwhile
                out.rmdir()
        raise


def _is_unfinished(path: Path) -> bool:
    return path.name == _UNFINISHED and is_temporary_folder(path)
