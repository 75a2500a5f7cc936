"""A local folder that stands for a folder of an object store (ADR 30).

Everything is read and written here, by the same code as any local folder. What is published is committed to the store
first: a file by one conditional write under its own key, a folder by its large files as objects that their content
names, and then one conditional write of FOLDER/committed.json. So a folder or file is in the store as a whole or not
at all, and of two processes that publish under one name the second learns that it came second.

What other files there are (logs, pages, metrics) is written to the store by `push`. Large files are here as stand-ins
until somebody opens them.
"""

import logging
import os
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from avf_shards.errors import FaultError
from avf_shards.format.tar import sha256_file
from avf_shards.stores.addresses import has_lazy_extension
from avf_shards.stores.conditional_writes import ConditionalWrites
from avf_shards.stores.fetched_contents import MAX_FETCHED_BYTES, FetchedContents
from avf_shards.stores.mirror_memory import MirrorMemory
from avf_shards.stores.object_names import folder_of, is_commit, select_files
from avf_shards.stores.object_store import ObjectStore, StoredObject
from avf_shards.stores.stored_folder import COMMITTED, StoredFolder, StoredPart
from avf_shards.stores.transfers import (
    create_from,
    download,
    download_content,
    download_listed,
    has_content,
    naming_full_disks,
    version_of,
    write_from,
)
from avf_shards.system import durable_io
from avf_shards.system.durable_io import AlreadyExistsError
from avf_shards.system.mirror_registry import is_stand_in, make_stand_in, mirror_of
from avf_shards.system.named_writes import write_bytes
from avf_shards.system.temporary_folder import MARKER
from avf_shards.text import count_noun

log = logging.getLogger(__name__)
_REQUESTS = 16  # at a time
_NO_TIME_NS = 0  # a committed file has no time of its own
_TRIES_TO_PLACE = 100
#: Names of what only this machine's processes read: markers of locks, and unfinished files of killed processes.
_LOCAL_PREFIXES = ("coordinator-", "writer-", ".")


class StoreMirror:
    """The mirror of one address; see `mirror_registry.Mirror` for what its methods promise.

    Beside FOLDER lies .FOLDER.mirror, which holds what the mirror remembers: committed.json of each committed folder,
    and which version of each object lies in FOLDER. Without it everything is read anew.
    """

    def __init__(
        self,
        store: ObjectStore,
        folder: Path,
        *,
        is_lazy: Callable[[str], bool] = has_lazy_extension,
        max_fetched_bytes: int = MAX_FETCHED_BYTES,
    ) -> None:
        """Prepare the mirror in `folder`, an absolute path without links; nothing is asked of the store yet.

        Args:
            is_lazy: whether a file of this name stays a stand-in until it is opened.
            max_fetched_bytes: limit of the contents of stand-ins that this process keeps here.
        """
        self.store, self.folder, self.address = store, folder, store.address
        self.is_lazy = is_lazy
        self.memory = MirrorMemory(folder.with_name(f".{folder.name}.mirror"))
        self._fetched = FetchedContents(max_fetched_bytes, self.memory.temporaries)
        self._conditional = ConditionalWrites(store)
        self._overwritten: set[Path] = set()  # files whose bytes the store does not have yet
        if not folder.exists() and not self.memory.exists():
            self.memory.write()  # a folder without one has lost it

    # -- what is read

    @naming_full_disks
    def pull(self) -> None:
        """Bring the folder to what the store holds: small files as they are, large ones as stand-ins.

        An address that is an object itself becomes the file of that name. Raises as `ObjectStore`, and FaultError for
        a damaged committed.json.
        """
        self.memory.temporaries.remove_left_behind()
        if not self.memory.read():
            durable_io.remove_here(self.folder)  # somebody removed the memory: what here does the store still have?
        listed = {item.key: item for item in select_files(self.store.find(), self.address)}
        own = None if listed else self.store.look_up("")
        if self.folder.is_dir() == (own is not None):
            durable_io.remove_here(self.folder)  # it was a file and is a folder now, or the other way round
        if listed:  # where nothing lies nothing is here, neither a folder nor a file
            self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._remove_vanished(self.memory.versions.keys() - listed.keys() - {""})
            self._take_all([item for item in (*listed.values(), own) if item is not None and not self._is_here(item)])
        finally:
            self.memory.write()

    refresh = pull

    @naming_full_disks
    def bring(self, path: Path) -> bool:
        if path.exists():
            return True
        key = self._key(path)
        if self._take_folder(f"{key}/{COMMITTED}"):
            return True
        item = self.store.look_up(key)
        self._take_all([item] if item else select_files(self.store.find(f"{key}/"), self.address))
        return path.exists()

    def renew(self, path: Path) -> None:
        """Bring one file to what the store holds under its name, a large one as a stand-in. Raises as `ObjectStore`."""
        key = self._key(path)
        item = self.store.look_up(key)
        durable_io.remove_here(path)
        self.memory.forget(key)
        if item is not None:
            self._take(item)

    @naming_full_disks
    def fetch(self, path: Path) -> None:
        key, part = self._part(path)
        temporary = self.memory.temporaries.new()
        try:
            if part:
                self._download_part(key, part, temporary)
                os.utime(temporary, ns=(_NO_TIME_NS, _NO_TIME_NS))
            else:
                download(self.store, self._key(path), temporary)
            status = temporary.stat()
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        if not part:
            self.memory.seen[self._key(path)] = (status.st_size, status.st_mtime_ns)
        self._fetched.add(path, status.st_size)

    def _download_part(self, commit: str, part: StoredPart, path: Path) -> None:
        """Write the content of a file of a committed folder. Raises FaultError where the store has another."""
        key = part.key_in(folder_of(commit))
        download_content(self.store, key, part.size_bytes, path)
        if sha256_file(path) != part.sha256:
            raise FaultError(f"{self.address}/{key}: damaged (its SHA-256 is not that of its name)")

    def evict(self, paths: Iterable[Path]) -> None:
        self._fetched.give_up(paths)

    def _take_all(self, items: Collection[StoredObject]) -> None:
        """Bring objects here, several at a time."""
        if not items:
            return
        log.info("%s: reading %s", self.store.address, count_noun(len(items), "object"))
        with ThreadPoolExecutor(min(_REQUESTS, len(items)), "store") as threads:
            for _ in threads.map(self._take, items):
                pass

    # -- what is published

    @naming_full_disks
    def publish_folder(self, temporary: Path, final: Path) -> None:
        self._conditional.require()
        self._push_overwritten()
        stored = StoredFolder.of(temporary)
        key, data = f"{self._key(final)}/{COMMITTED}", stored.to_json()
        self._write_parts(key, stored, temporary)
        created = self.store.create(key, data)
        durable_io.notify("create an object", final)
        if not created and self.store.read(key) != data:  # the same bytes: of a try whose answer was lost, or as good
            self._take_folder(key)
            raise AlreadyExistsError(str(final))
        self._place_folder(key, stored, temporary)
        durable_io.remove(temporary)

    def publish_file(self, temporary: Path, final: Path) -> None:
        self._conditional.require()
        self._push_overwritten()
        key = self._key(final)
        created = create_from(self.store, key, temporary)
        durable_io.notify("create an object", final)
        if not created and not has_content(self.store, key, temporary):
            item = self.store.look_up(key)
            if item is not None:
                self._take(item)
            raise AlreadyExistsError(str(final))
        self._place_file(temporary, final)

    def replace_file(self, temporary: Path, final: Path) -> None:
        self._push_overwritten()
        self._write_file(self._key(final), temporary)
        self._place_file(temporary, final)
        self.remove(temporary)  # one that was published lies in the store too

    def note_overwritten(self, path: Path) -> None:
        if not self._is_local(path):
            self._overwritten.add(path)

    def remove(self, path: Path) -> None:
        if self._is_local(path):
            return
        self._push_overwritten()
        key = self._key(path)
        below = [each for each in self.memory.versions if each == key or each.startswith(f"{key}/")]
        for each in sorted(below, key=lambda each: not is_commit(each)):  # the commit of a folder first
            parts = self.memory.stored(each).parts.values() if is_commit(each) else ()
            self.store.delete(each)
            durable_io.notify("delete an object", path)
            self.memory.forget(each)
            self._delete_parts(each, parts)

    def push(self) -> None:
        self._push_overwritten()
        for path in sorted(self.folder.rglob("*")):
            with suppress(FileNotFoundError):  # removed meanwhile
                status, key = path.stat(), self._key(path)
                is_known = self.memory.seen.get(key) == (status.st_size, status.st_mtime_ns) or is_stand_in(status)
                is_own = mirror_of(path) is self and not self._is_local(path)
                if path.is_file() and is_own and not is_known and self.memory.commit_of(self._key(path)) is None:
                    self._write_file(key, path)
                    self.memory.seen[key], self.memory.versions[key] = (status.st_size, status.st_mtime_ns), ""
        self.memory.write()

    def _write_file(self, key: str, path: Path) -> None:
        write_from(self.store, key, path)
        durable_io.notify("write an object", self.folder / key)

    def _write_parts(self, commit: str, stored: StoredFolder, source: Path) -> None:
        """Write the large files of a folder under the names of their contents, where they are nobody's yet."""
        for name, part in stored.parts.items():
            self._write_file(part.key_in(folder_of(commit)), source / name)

    def _push_overwritten(self) -> None:
        """Write to the store the files whose bytes were overwritten here."""
        while self._overwritten:
            path = min(self._overwritten)
            commit = self.memory.commit_of(self._key(path))
            if commit is None:
                self._write_file(self._key(path), path)
            else:
                self._write_folder_again(commit)
            self._overwritten.discard(path)

    def _write_folder_again(self, key: str) -> None:
        """Replace a committed folder by what it holds now, and delete the contents that it no longer has."""
        folder, before = (self.folder / key).parent, self.memory.stored(key)
        for path in (path for path in folder.rglob("*") if path.is_file() and is_stand_in(path.stat())):
            self.fetch(path)
        stored = StoredFolder.of(folder)
        self._write_parts(key, stored, folder)
        self.store.write(key, stored.to_json())
        durable_io.notify("write an object", folder)
        self.memory.remember(key, stored)
        self._delete_parts(key, set(before.parts.values()) - set(stored.parts.values()))

    def _delete_parts(self, commit: str, parts: Iterable[StoredPart]) -> None:
        """Delete contents of a folder, which it no longer names or which is gone."""
        for part in set(parts):
            key = part.key_in(folder_of(commit))
            self.store.delete(key)
            durable_io.notify("delete an object", self.folder / key)

    # -- what lies here

    def _take(self, item: StoredObject) -> None:
        """Bring one object here, as a file, a stand-in or a folder."""
        if is_commit(item.key):
            if not self._take_folder(item.key):
                return
        else:
            path = self.folder / item.key if item.key else self.folder
            if self._is_changed_here(item.key, path):  # by a command that is at work, or that was killed
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            if self.is_lazy(path.name) and item.size_bytes:
                make_stand_in(path, item.size_bytes, item.modified_ns, self.memory.temporaries.new())
            else:
                temporary = self.memory.temporaries.new()
                try:
                    download_listed(self.store, item, temporary)
                except FileNotFoundError:  # deleted since it was listed
                    return
                os.replace(temporary, path)
            status = path.stat()
            self.memory.seen[item.key] = (status.st_size, status.st_mtime_ns)
        self.memory.versions[item.key] = version_of(item)

    def _take_folder(self, key: str) -> bool:
        """Bring a committed folder here; return whether the store has it."""
        data = self.store.read(key)
        if data is None:
            return False
        stored = StoredFolder.from_json(data, f"{self.store.address}/{key}")
        final = (self.folder / key).parent
        if self.memory.holds(key, data) and all((final / name).is_file() for name in (*stored.inside, *stored.parts)):
            self.memory.remember(key, stored)  # it stays where it is: another command here may be reading it
        else:
            self._place_folder(key, stored)
        return True

    def _place_folder(self, key: str, stored: StoredFolder, source: Path | None = None) -> None:
        """Put a committed folder under its name, in one step; those of its large files that are lazy are stand-ins.

        Args:
            source: a folder with the same files, which loses them; None: contents come from the store.
        """
        final, temporary = (self.folder / key).parent, self.memory.temporaries.new()
        for name in (*stored.inside, *stored.parts):
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
        for name, data in stored.inside.items():
            write_bytes(temporary / name, data)
        for name, part in stored.parts.items():
            if self.is_lazy(name):
                make_stand_in(temporary / name, part.size_bytes, _NO_TIME_NS, self.memory.temporaries.new())
            elif source is not None:
                os.replace(source / name, temporary / name)
            else:
                self._download_part(key, part, temporary / name)
        self.memory.remember(key, stored)
        final.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(_TRIES_TO_PLACE):  # another process of this machine may bring the same folder here
            durable_io.remove_here(final)
            try:
                os.rename(temporary, final)
                break
            except OSError:
                if not final.exists():
                    raise
        durable_io.notify("rename", final)

    def _place_file(self, temporary: Path, final: Path) -> None:
        """Give a file that is in the store its name here; of a large one the content stays there alone."""
        os.replace(temporary, final)
        status = final.stat()
        if self.is_lazy(final.name) and status.st_size:
            make_stand_in(final, status.st_size, status.st_mtime_ns, self.memory.temporaries.new())
        durable_io.notify("replace", final)
        self.memory.seen[self._key(final)] = (status.st_size, status.st_mtime_ns)
        self.memory.versions[self._key(final)] = ""

    def _remove_vanished(self, keys: Collection[str]) -> None:
        """Remove what the listing lacks, after a look at each object: a listing may be late."""
        for key in keys:
            if self.store.look_up(key) is None:
                path = self.folder / key
                durable_io.remove_here(path.parent if is_commit(key) else path)
                self.memory.forget(key)

    def _part(self, path: Path) -> tuple[str, StoredPart | None]:
        """Return the commit and the object of a file of a committed folder; no object for a file of its own."""
        key = self.memory.commit_of(self._key(path))
        if key is None:
            return "", None
        return key, self.memory.stored(key).parts.get(path.relative_to((self.folder / key).parent).as_posix())

    def _is_here(self, item: StoredObject) -> bool:
        """Return whether what lies here is of this version, and complete: somebody may have removed some of it."""
        if self.memory.versions.get(item.key) != version_of(item):
            return False
        path = self.folder / item.key if item.key else self.folder
        if not is_commit(item.key):
            return path.is_file()
        count, _ = self.memory.seen.get(item.key, (-1, 0))
        return sum(each.is_file() for each in path.parent.rglob("*")) == count

    def _is_changed_here(self, key: str, path: Path) -> bool:
        """Return whether a file was written here since it was read from the store or written to it."""
        if key not in self.memory.seen or self.is_lazy(path.name) or not path.is_file():
            return False
        status = path.stat()
        return not is_stand_in(status) and self.memory.seen[key] != (status.st_size, status.st_mtime_ns)

    def note_present(self) -> None:
        """Let `push` write only what is written here from now on."""
        for path in self.folder.rglob("*"):
            with suppress(FileNotFoundError):  # another command removes it
                status = path.stat()
                self.memory.seen[self._key(path)] = (status.st_size, status.st_mtime_ns)

    def _key(self, path: Path) -> str:
        return Path(os.path.abspath(path)).relative_to(self.folder).as_posix()

    def _is_local(self, path: Path) -> bool:
        """Return whether a path is this machine's own: temporary, or the marker of a lock."""
        names = self._key(path).split("/")
        if any(name.startswith(_LOCAL_PREFIXES) for name in names):
            return True
        folders = (self.folder.joinpath(*names[:depth]) for depth in range(1, len(names) + 1))
        return any((folder / MARKER).exists() for folder in folders)
