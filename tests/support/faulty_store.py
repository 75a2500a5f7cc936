"""An object store in memory whose requests stop until a test lets them go on, fail, or lose their answers."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

from avf_shards.stores.object_store import StoredObject

T = TypeVar("T")
Step = Literal["answer", "lose the answer", "die before", "die after"]


class ProcessDeathError(BaseException):
    """The death of a process between two requests; nothing of the program catches it."""


class SharedObjects:
    """What the store holds. Listings may be as old as the test likes, reads are not, as in S3, Google's and Azure."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.versions: dict[str, int] = {}
        self.listing: list[StoredObject] = []  # the one that `find` answers with
        self._writes = 0

    def put(self, key: str, data: bytes) -> None:
        self._writes += 1
        self.contents[key], self.versions[key] = data, self._writes

    def describe(self, key: str) -> StoredObject:
        version = self.versions[key]  # each write is a second later
        size = len(self.contents[key])
        return StoredObject(key=key, size_bytes=size, version=str(version), modified_ns=version * 1_000_000_000)

    def renew_listing(self) -> None:
        self.listing = [self.describe(key) for key in sorted(self.contents)]


class SteppedStore:
    """The `ObjectStore` of one process: each request waits for `step`, which says how it ends."""

    address = "memory://bucket/run"

    def __init__(self, objects: SharedObjects) -> None:
        self.objects = objects
        self._steps: list[Step] = []
        self._changed = threading.Condition()
        self.waits = False  # a request stands at the gate
        self.is_free = False  # True: requests do not wait

    def step(self, how: Step) -> None:
        """Let the request at the gate go on."""
        with self._changed:
            self._steps.append(how)
            self.waits = False
            self._changed.notify_all()

    def await_request(self, is_done: Callable[[], bool]) -> None:
        """Return when a request stands at the gate, or the process is done."""
        with self._changed:
            while not self.waits and not is_done():
                self._changed.wait(0.01)

    def _ask(self, work: Callable[[], T]) -> tuple[T, bool]:
        """Do the work of a request; return its result, and whether its answer is lost."""
        if self.is_free:
            return work(), False
        with self._changed:
            self.waits = True
            self._changed.notify_all()
            while not self._steps:
                self._changed.wait()
            how = self._steps.pop(0)
        if how == "die before":
            raise ProcessDeathError
        result = work()
        if how == "die after":
            raise ProcessDeathError
        return result, how == "lose the answer"

    def find(self, prefix: str = "") -> list[StoredObject]:
        return self._ask(lambda: [item for item in self.objects.listing if item.key.startswith(prefix)])[0]

    def look_up(self, key: str) -> StoredObject | None:
        return self._ask(lambda: self.objects.describe(key) if key in self.objects.contents else None)[0]

    def read(self, key: str) -> bytes | None:
        return self._ask(lambda: self.objects.contents.get(key))[0]

    def read_range(self, key: str, start: int, stop: int) -> bytes:
        def read() -> bytes:
            if key not in self.objects.contents:
                raise FileNotFoundError(key)
            return self.objects.contents[key][start:stop]

        return self._ask(read)[0]

    def create(self, key: str, data: bytes) -> bool:
        def create() -> bool:
            if key in self.objects.contents:
                return False
            self.objects.put(key, data)
            return True

        created, is_lost = self._ask(create)
        return created and not is_lost  # the client asks again, and the name is taken by then

    def create_from_file(self, key: str, path: Path) -> bool:
        return self.create(key, path.read_bytes())

    def write(self, key: str, data: bytes) -> None:
        self._ask(lambda: self.objects.put(key, data))

    def write_from_file(self, key: str, path: Path) -> None:
        self.write(key, path.read_bytes())

    def delete(self, key: str) -> None:
        self._ask(lambda: self.objects.contents.pop(key, None))


def free_store(objects: SharedObjects) -> SteppedStore:
    """Return a store that answers at once, with listings as old as `objects` says."""
    store = SteppedStore(objects)
    store.is_free = True
    return store
