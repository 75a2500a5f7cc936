"""The contents of stand-ins that a process has fetched into a mirror, of which the oldest become stand-ins again."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from avf_shards.stores.temporary_names import TemporaryNames
from avf_shards.system.mirror_registry import make_stand_in

MAX_FETCHED_BYTES = 100_000_000_000  # of all that one process has fetched


class FetchedContents:
    """Files that were stand-ins and have their content now, within a limit of bytes."""

    def __init__(self, max_bytes: int, temporaries: TemporaryNames) -> None:
        """Remember nothing yet.

        Args:
            max_bytes: of all contents; one that is larger stays alone.
            temporaries: names on the file system of the mirror.
        """
        self._max_bytes, self._temporaries = max_bytes, temporaries
        self._bytes_of: dict[Path, int] = {}  # the oldest first

    def add(self, path: Path, size_bytes: int) -> None:
        """Remember a file that has its content now, and give up the oldest ones beyond the limit."""
        self._bytes_of[path] = size_bytes
        while sum(self._bytes_of.values()) > self._max_bytes and len(self._bytes_of) > 1:
            self._give_up(next(iter(self._bytes_of)))

    def give_up(self, paths: Iterable[Path]) -> None:
        """Make stand-ins again of these files, and of those below these folders."""
        for path in paths:
            for fetched in [each for each in self._bytes_of if each.is_relative_to(path)]:
                self._give_up(fetched)

    def _give_up(self, path: Path) -> None:
        del self._bytes_of[path]
        with suppress(FileNotFoundError):
            status = path.stat()
            make_stand_in(path, status.st_size, status.st_mtime_ns, self._temporaries.new())
