"""The protocol by which folders and files are committed to an object store, explored as a model (ADR 30).

Processes publish under the same names, each with bytes of its own, and stop at every request: the store may lose the
answer, the process may die before or after the store has done it, and the listing may be old.
"""

import shutil
import tempfile
import threading
from pathlib import Path

from avf_shards.stores.mirror import StoreMirror
from avf_shards.stores.object_names import is_part
from avf_shards.stores.stored_folder import COMMITTED, StoredFolder
from avf_shards.system.durable_io import AlreadyExistsError
from avf_shards.system.temporary_folder import MARKER
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.faulty_store import ProcessDeathError, SharedObjects, SteppedStore

NAMES = ("units/0000", "units/0001", "manifest.json")
PROCESSES = 3
LARGE = 200_000  # bytes: a part of its own


class Process:
    """A process on a machine of its own that publishes one thing after another."""

    def __init__(self, objects: SharedObjects, number: int) -> None:
        self.number, self.objects = number, objects
        self.root = Path(tempfile.mkdtemp())
        self.thread: threading.Thread | None = None
        self.start_again()

    def start_again(self) -> None:
        """Start as a new process with what the last one left on the disk."""
        self.store = SteppedStore(self.objects)
        self.mirror = StoreMirror(self.store, self.root / "run", is_lazy=lambda name: False)
        self.mirror.folder.mkdir(exist_ok=True)
        self.mirror._conditional.is_known = self.number > 0  # the others have asked the store before

    def content(self, name: str, attempt: int) -> dict[str, bytes]:
        """Return the files that this process publishes: all say who wrote them."""
        word = f"{self.number} {attempt} ".encode()
        return {"unit.json": word, "clips.tar": word * (LARGE // len(word))}

    def publish(self, name: str, attempt: int) -> None:
        """Begin to publish in a thread, which stops at its first request."""
        self.outcome = "at work"
        files = self.content(name, attempt)
        self.name, self.expected = name, files if name != NAMES[2] else {"": files["unit.json"]}
        self.thread = threading.Thread(target=self._publish, args=(name, files), daemon=True)
        self.thread.start()
        self.store.await_request(self._is_done)

    def _publish(self, name: str, files: dict[str, bytes]) -> None:
        temporary = self.mirror.folder / "tmp" / f"{len(list(self.mirror.folder.rglob('*')))}"
        temporary.mkdir(parents=True)
        (temporary.parent / MARKER).touch()
        try:
            if name == NAMES[2]:
                (temporary / "file").write_bytes(files["unit.json"])
                self.mirror.publish_file(temporary / "file", self.mirror.folder / name)
            else:
                for file, data in files.items():
                    (temporary / file).write_bytes(data)
                self.mirror.publish_folder(temporary, self.mirror.folder / name)
            self.outcome = "published"
        except AlreadyExistsError:
            self.outcome = "was second"
        except ProcessDeathError:
            self.outcome = "died"

    def _is_done(self) -> bool:
        return self.thread is None or not self.thread.is_alive()

    @property
    def is_at_work(self) -> bool:
        return not self._is_done()

    def step(self, how: str) -> None:
        self.store.step(how)
        self.store.await_request(self._is_done)
        if self._is_done():
            self.thread = None


class StoreProtocol(RuleBasedStateMachine):
    """The rules by which things happen, and what is true at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.objects = SharedObjects()
        self.processes = [Process(self.objects, number) for number in range(PROCESSES)]
        self.committed: dict[str, bytes] = {}  # what a name held when it was there first
        self.attempts = 0

    def _idle(self) -> list[Process]:
        return [each for each in self.processes if not each.is_at_work]

    def _at_work(self) -> list[Process]:
        return [each for each in self.processes if each.is_at_work]

    @precondition(lambda self: self._idle())
    @rule(data=st.data(), name=st.sampled_from(NAMES), same=st.booleans())
    def begin(self, data: st.DataObject, name: str, same: bool) -> None:
        """A process begins to publish; the same bytes as others, or bytes of its own."""
        process = data.draw(st.sampled_from(self._idle()))
        self.attempts += 1
        process.publish(name, 0 if same else self.attempts)

    @precondition(lambda self: self._at_work())
    @rule(data=st.data(), how=st.sampled_from(["answer", "answer", "answer", "lose the answer"]))
    def go_on(self, data: st.DataObject, how: str) -> None:
        process = data.draw(st.sampled_from(self._at_work()))
        process.step(how)
        if not process.is_at_work:
            self._check_outcome(process)

    @precondition(lambda self: self._at_work())
    @rule(data=st.data(), how=st.sampled_from(["die before", "die after"]))
    def die(self, data: st.DataObject, how: str) -> None:
        process = data.draw(st.sampled_from(self._at_work()))
        process.step(how)
        assert process.outcome == "died"
        process.start_again()

    @rule()
    def renew_listing(self) -> None:
        self.objects.renew_listing()

    @precondition(lambda self: self._idle())
    @rule(data=st.data())
    def pull(self, data: st.DataObject) -> None:
        """A process brings its mirror up to date, by whatever listing there is."""
        process = data.draw(st.sampled_from(self._idle()))
        listed = {item.key.removesuffix(f"/{COMMITTED}") for item in self.objects.listing}
        here = {name for name in NAMES if (process.mirror.folder / name).exists()}
        process.store.is_free = True
        process.mirror.pull()
        process.store.is_free = False
        for name in (listed | here) & set(NAMES):
            self._check_here(process, name)

    @precondition(lambda self: self._idle())
    @rule(data=st.data(), name=st.sampled_from(NAMES[:2]))
    def bring(self, data: st.DataObject, name: str) -> None:
        """A process asks for a folder by its name, whatever the listing says."""
        process = data.draw(st.sampled_from(self._idle()))
        process.store.is_free = True
        assert process.mirror.bring(process.mirror.folder / name) == (self._key(name) in self.objects.contents)
        process.store.is_free = False
        if self._key(name) in self.objects.contents:
            self._check_here(process, name)

    @invariant()
    def what_is_committed_never_changes(self) -> None:
        for name in NAMES:
            data = self.objects.contents.get(self._key(name))
            if name in self.committed:
                assert data == self.committed[name], name
            elif data is not None:
                self.committed[name] = data

    @invariant()
    def what_is_committed_is_complete(self) -> None:
        for name in NAMES[:2]:
            if name in self.committed:
                stored = StoredFolder.from_json(self.committed[name], name)
                assert set(stored.inside) | set(stored.parts) == {"unit.json", "clips.tar"}
                part = self.objects.contents[stored.parts["clips.tar"].key_in(name)]
                assert part.startswith(stored.inside["unit.json"]), "files of two writers"

    def _check_outcome(self, process: Process) -> None:
        """Compare what a process was told with what the store holds."""
        assert process.outcome in ("published", "was second")
        is_own = self._files_in_store(process.name) == process.expected
        assert is_own == (process.outcome == "published"), process.outcome
        self._check_here(process, process.name)

    def _check_here(self, process: Process, name: str) -> None:
        """Compare the mirror of a process with what the store holds."""
        path = process.mirror.folder / name
        process.store.is_free = True
        for file, data in self._files_in_store(name).items():
            here = path / file if file else path
            if here.stat().st_mode & 0o777 == 0:
                process.mirror.fetch(here)
            assert here.read_bytes() == data
        process.store.is_free = False

    def _files_in_store(self, name: str) -> dict[str, bytes]:
        data = self.objects.contents[self._key(name)]
        if name == NAMES[2]:
            return {"": data}
        stored = StoredFolder.from_json(data, name)
        return stored.inside | {file: self.objects.contents[part.key_in(name)] for file, part in stored.parts.items()}

    def _key(self, name: str) -> str:
        return name if name == NAMES[2] else f"{name}/{COMMITTED}"

    def teardown(self) -> None:
        for process in self.processes:
            while process.is_at_work:
                process.step("die before")
            shutil.rmtree(process.root)
        assert all(key in map(self._key, NAMES) or is_part(key) for key in self.objects.contents)


TestStoreProtocol = StoreProtocol.TestCase
TestStoreProtocol.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
