"""The new folder that a command writes its files into: all of them, or none where the command is interrupted."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.system import durable_io

_UNFINISHED = ".unfinished"


def check_new_folder(out: Path) -> None:
    """Raise UserError where `out` is a file, or holds files other than those of a process that was killed."""
    if out.exists() and (not out.is_dir() or any(path.name != _UNFINISHED for path in out.iterdir())):
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
    durable_io.make_new_folder(temporary)
    try:
        yield temporary
        for path in sorted(temporary.iterdir()):
            path.rename(out / path.name)
        durable_io.remove(temporary)
        durable_io.sync_folder(out)
    except BaseException:
        # All that lies in the folder was written here: the folder was empty.
        for path in list(out.iterdir()):
            durable_io.remove(path)
        if not existed:
            out.rmdir()
        raise
