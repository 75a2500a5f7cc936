"""A store is asked once whether it honours conditional writes, before a process commits anything to it."""

from pathlib import Path

import pytest
from avf_shards.errors import UserError
from avf_shards.stores.mirror import StoreMirror
from avf_shards.stores.stored_folder import PARTS
from support.faulty_store import SharedObjects, SteppedStore


class ForgetfulStore(SteppedStore):
    """A store that passes over the condition of a write."""

    def create(self, key: str, data: bytes) -> bool:
        self.objects.put(key, data)
        return True


class CountingStore(SteppedStore):
    """A store that notes what is created."""

    def __init__(self, objects: SharedObjects) -> None:
        super().__init__(objects)
        self.created: list[str] = []

    def create(self, key: str, data: bytes) -> bool:
        self.created.append(key)
        return super().create(key, data)


def publish(store: SteppedStore, folder: Path, *names: str) -> None:
    """Publish files by one mirror, as one process does."""
    store.is_free = True
    mirror = StoreMirror(store, folder / "run")
    mirror.folder.mkdir()
    for name in names:
        (folder / name).write_text(name)
        mirror.publish_file(folder / name, mirror.folder / name)


def test_a_store_that_honours_them_is_asked_once_and_keeps_nothing(tmp_path: Path) -> None:
    store = CountingStore(SharedObjects())
    publish(store, tmp_path, "a", "b")
    probes = [key for key in store.created if key.startswith(f"{PARTS}/")]
    assert (len(probes), len(set(probes))) == (2, 1)
    assert store.objects.contents == {"a": b"a", "b": b"b"}


def test_a_store_that_does_not_is_refused_and_nothing_is_committed(tmp_path: Path) -> None:
    store = ForgetfulStore(SharedObjects())
    with pytest.raises(UserError, match=r"memory://bucket/run: this store writes over an object that was only to be"):
        publish(store, tmp_path, "a")
    assert store.objects.contents == {}
