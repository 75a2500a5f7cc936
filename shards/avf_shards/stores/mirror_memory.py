"""What a mirror remembers beside its folder: which objects lie in it, and the committed folders."""

import json
import os
from pathlib import Path

from avf_shards.stores.object_names import folder_of
from avf_shards.stores.stored_folder import COMMITTED, StoredFolder
from avf_shards.stores.temporary_names import TemporaryNames
from avf_shards.system.named_writes import write_bytes, write_text

_VERSIONS = "versions.json"


class MirrorMemory:
    """The folder .NAME.mirror: versions.json, commits/KEY with each committed.json, and tmp/.

    Several processes of a machine may write it: what one of them forgets is read anew from the store.
    """

    def __init__(self, folder: Path) -> None:
        """Prepare the memory; nothing is read yet."""
        self._folder, self._commits = folder, folder / "commits"
        self.temporaries = TemporaryNames(folder / "tmp")  # on the file system of the mirror
        self.versions: dict[str, str] = {}  # key -> version of the object that lies here; empty: written by this one
        #: Key -> size and time of the file, as pulled or pushed; of a committed folder its number of files, and 0.
        self.seen: dict[str, tuple[int, int]] = {}

    def exists(self) -> bool:
        """Return whether a process has written the memory."""
        return (self._folder / _VERSIONS).exists()

    def read(self) -> bool:
        """Read what is remembered; return False where that is nothing."""
        try:
            values = json.loads((self._folder / _VERSIONS).read_bytes())
            self.versions = {str(key): str(version) for key, version in values["versions"].items()} | self.versions
            seen = {str(key): (int(size), int(time)) for key, (size, time) in values["seen"].items()}
            self.seen = seen | self.seen
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return False  # everything is read anew
        return True

    def write(self) -> None:
        """Write what is remembered, in one step. Raises OSError, which names the file."""
        temporary = self.temporaries.new()
        write_text(temporary, json.dumps({"versions": dict(self.versions), "seen": dict(self.seen)}))
        os.replace(temporary, self._folder / _VERSIONS)

    def remember(self, key: str, stored: StoredFolder) -> None:
        """Note that the folder that the object `key` commits lies here."""
        path, temporary = self._commits / key, self.temporaries.new()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(temporary, stored.to_json())
        os.replace(temporary, path)
        self.versions[key] = ""
        self.seen[key] = (len(stored.inside) + len(stored.parts), 0)

    def forget(self, key: str) -> None:
        """Note that an object does not lie here."""
        self.versions.pop(key, None)
        self.seen.pop(key, None)
        (self._commits / key).unlink(missing_ok=True)

    def holds(self, key: str, data: bytes) -> bool:
        """Return whether the folder that `key` commits was remembered with this committed.json."""
        path = self._commits / key
        return path.is_file() and path.read_bytes() == data

    def stored(self, key: str) -> StoredFolder:
        """Return the folder that the object `key` commits. Raises FaultError for damage."""
        path = self._commits / key
        return StoredFolder.from_json(path.read_bytes(), str(path))

    def commit_of(self, key: str) -> str | None:
        """Return the key that commits the folder in which a file lies; None for a file of its own."""
        folders = key.split("/")[:-1]
        keys = ("/".join((*folders[:depth], COMMITTED)) for depth in range(len(folders), -1, -1))
        return next((each for each in keys if (self._commits / each).is_file()), None)

    def named_parts(self) -> set[str]:
        """Return the keys of all contents that the remembered folders name."""
        keys = (path.relative_to(self._commits).as_posix() for path in self._commits.rglob(COMMITTED))
        return {part.key_in(folder_of(key)) for key in keys for part in self.stored(key).parts.values()}
