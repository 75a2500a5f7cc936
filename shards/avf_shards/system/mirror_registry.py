"""The mirrors of this process: local folders that stand for folders of an object store.

`durable_io` publishes through the mirror that a path lies in, and `open_plain` asks it for the content of a stand-in: a
file of the right size and time without content and without permissions, so that nothing takes its zeros for data.
"""

import logging
import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

log = logging.getLogger(__name__)
_STAND_IN_MODE = 0o000


class Mirror(Protocol):
    """A local folder whose publications are committed to an object store first."""

    folder: Path  # absolute, without links
    address: str  # of the folder in the store

    def publish_folder(self, temporary: Path, final: Path) -> None:
        """Do what `durable_io.publish_folder` says, in the store and then here."""

    def publish_file(self, temporary: Path, final: Path) -> None:
        """Do what `durable_io.publish_file` says, in the store and then here."""

    def replace_file(self, temporary: Path, final: Path) -> None:
        """Do what `durable_io.replace_by` says, in the store and then here."""

    def note_overwritten(self, path: Path) -> None:
        """Note that bytes of a file were overwritten here; the store gets them before its next change."""

    def remove(self, path: Path) -> None:
        """Remove from the store what it holds of a file or folder."""

    def fetch(self, path: Path) -> None:
        """Replace the stand-in `path` by the object's content. Raises OSError, FileNotFoundError where it is gone."""

    def bring(self, path: Path) -> bool:
        """Bring a committed folder, a file or a folder of files here by its name; return whether it is here then."""

    def renew(self, path: Path) -> None:
        """Bring one file to what the store holds under its name, a large one as a stand-in."""

    def refresh(self) -> None:
        """Bring the folder to what the store holds now."""

    def push(self) -> None:
        """Write to the store what has changed here and is not published: logs, pages, metrics."""

    def evict(self, paths: Iterable[Path]) -> None:
        """Make stand-ins again of files that this process has fetched and does not need any more."""


_mirrors: list[Mirror] = []


def add_mirror(mirror: Mirror) -> None:
    """Make `mirror` the way to the store for its folder, instead of an earlier one of the same folder."""
    remove_mirror(mirror.folder)
    _mirrors.append(mirror)


def remove_mirror(folder: Path) -> None:
    """Forget the mirror of a folder."""
    _mirrors[:] = [each for each in _mirrors if each.folder != folder]


def forget_mirrors() -> None:
    """Forget all mirrors of this process; what lies in their folders stays."""
    _mirrors.clear()


def mirror_of(path: Path) -> Mirror | None:
    """Return the mirror that a path lies in; None for a path that stands for nothing but itself."""
    if not _mirrors:
        return None
    absolute = Path(os.path.abspath(path))
    within = [each for each in _mirrors if absolute.is_relative_to(each.folder)]
    return max(within, key=lambda each: len(each.folder.parts), default=None)


def all_mirrors() -> tuple[Mirror, ...]:
    """Return the mirrors of this process."""
    return tuple(_mirrors)


def name_addresses(text: str) -> str:
    """Return a text in which the folders of mirrors have the names of their addresses."""
    for each in sorted(_mirrors, key=lambda each: -len(str(each.folder))):
        text = text.replace(str(each.folder), each.address)
    return text


def refresh(folder: Path) -> None:
    """Bring the mirror that a folder lies in to what its store holds now; do nothing for any other folder."""
    if (mirror := mirror_of(folder)) is not None:
        mirror.refresh()


def renew(path: Path) -> None:
    """Bring a file of a mirror to what its store holds now; do nothing for any other path."""
    if (mirror := mirror_of(path)) is not None:
        mirror.renew(path)


def push(folder: Path) -> None:
    """Write to its store what has changed in a mirror and is not published; do nothing for any other folder.

    A store that fails while another error is on its way is a warning: the first error says why.
    """
    mirror = mirror_of(folder)
    if mirror is None:
        return
    is_after_error = sys.exception() is not None
    try:
        mirror.push()
    except OSError as error:
        if not is_after_error:
            raise
        log.warning("%s: logs and pages are not in the store: %s", mirror.address, error)


def bring(paths: Iterable[Path]) -> None:
    """Bring files of mirrors here by their names, as stand-ins where they are large; other paths stay as they are."""
    for path in paths:
        if (mirror := mirror_of(path)) is not None:
            mirror.bring(path)


def evict(paths: Iterable[Path]) -> None:
    """Make stand-ins again of what this process has fetched of the paths, and of files below them."""
    for path in paths:
        if (mirror := mirror_of(path)) is not None:
            mirror.evict([path])


def make_stand_in(path: Path, size_bytes: int, modified_ns: int, temporary: Path) -> None:
    """Put a stand-in under `path`, in one step. Raises OSError.

    Args:
        temporary: a free name on the same file system.
    """
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.truncate(descriptor, size_bytes)
        os.fchmod(descriptor, _STAND_IN_MODE)
    finally:
        os.close(descriptor)
    os.utime(temporary, ns=(modified_ns, modified_ns))
    os.replace(temporary, path)


def is_stand_in(status: os.stat_result) -> bool:
    """Return whether a file's status is that of a stand-in."""
    return stat.S_ISREG(status.st_mode) and stat.S_IMODE(status.st_mode) == _STAND_IN_MODE and status.st_size > 0


def fetch_stand_in(path: str | Path) -> bool:
    """Fetch the content of a path that is a stand-in in a mirror of this process; return whether it was one.

    Raises OSError as `Mirror.fetch`.
    """
    mirror = mirror_of(Path(path))
    if mirror is None or not is_stand_in(os.stat(path)):
        return False
    mirror.fetch(Path(os.path.abspath(path)))
    return True
