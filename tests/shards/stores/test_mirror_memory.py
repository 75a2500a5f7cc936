"""A mirror that was removed in part, left by a killed process, or used by two commands ends as the store is."""

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from avf_shards.stores.addresses import mirrors_folder
from avf_shards.stores.mirror import StoreMirror
from avf_shards.stores.temporary_names import TemporaryNames
from avf_shards.system.durable_io import replace_file
from avf_shards.system.mirror_registry import add_mirror, forget_mirrors
from support.crash_points import exit_status_in_child
from support.faulty_store import SharedObjects, SteppedStore, free_store
from support.trees import file_digests

LARGE = b"x" * 200_000


def open_mirror(objects: SharedObjects, folder: Path) -> StoreMirror:
    """Return the mirror as a new process sees it, up to date."""
    objects.renew_listing()
    mirror = StoreMirror(free_store(objects), folder)
    mirror.pull()
    add_mirror(mirror)
    return mirror


@pytest.fixture(autouse=True)
def no_mirrors() -> Iterator[None]:
    yield
    forget_mirrors()


@pytest.fixture
def objects(tmp_path: Path) -> SharedObjects:
    """A store that holds a committed unit, a table and a log."""
    objects = SharedObjects()
    mirror = open_mirror(objects, tmp_path / "writer/run")
    unit = tmp_path / "unit"
    unit.mkdir()
    (unit / "unit.json").write_bytes(b"unit")
    (unit / "clips.tar").write_bytes(LARGE)
    mirror.publish_folder(unit, mirror.folder / "units/0")
    objects.put("table.csv", b"table")
    objects.put("log/events.jsonl", b"one\n")
    return objects


@pytest.mark.parametrize("removed", ["table.csv", "units/0/unit.json", "units/0/clips.tar", "units/0", "units", ""])
def test_what_is_removed_from_a_mirror_by_hand_comes_back(removed: str, objects: SharedObjects, tmp_path: Path) -> None:
    open_mirror(objects, tmp_path / "run")
    before = file_digests(tmp_path / "run")
    path = tmp_path / "run" / removed
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    open_mirror(objects, tmp_path / "run")
    assert file_digests(tmp_path / "run") == before


def test_a_mirror_that_lost_its_memory_brings_nothing_back_to_the_store(objects: SharedObjects, tmp_path: Path) -> None:
    open_mirror(objects, tmp_path / "run")
    shutil.rmtree(tmp_path / ".run.mirror")
    for key in [key for key in objects.contents if key.startswith(("units", "parts"))]:
        del objects.contents[key]  # another machine deletes the clips
    open_mirror(objects, tmp_path / "run").push()
    assert sorted(objects.contents) == ["log/events.jsonl", "table.csv"]
    assert not (tmp_path / "run/units").exists()


def test_a_folder_that_another_command_reads_stays_where_it_is(objects: SharedObjects, tmp_path: Path) -> None:
    open_mirror(objects, tmp_path / "run")
    with open(tmp_path / "run/units/0/unit.json") as file:
        (tmp_path / ".run.mirror/versions.json").write_text('{"versions": {}, "seen": {}}')
        open_mirror(objects, tmp_path / "run")
        assert os.path.sameopenfile(file.fileno(), os.open(tmp_path / "run/units/0/unit.json", os.O_RDONLY))


def test_a_log_that_a_command_is_writing_is_not_replaced(objects: SharedObjects, tmp_path: Path) -> None:
    open_mirror(objects, tmp_path / "run")
    with open(tmp_path / "run/log/events.jsonl", "a", buffering=1) as log:
        log.write("two\n")
        objects.put("log/events.jsonl", b"of another machine\n")
        other = open_mirror(objects, tmp_path / "run")  # an audit, say
        log.write("three\n")
    other.push()
    assert objects.contents["log/events.jsonl"] == b"one\ntwo\nthree\n"


class ChangingStore(SteppedStore):
    """A store in which an object is written over while it is read."""

    is_free = True
    changes = 1

    def read_range(self, key: str, start: int, stop: int) -> bytes:
        data = super().read_range(key, start, stop)
        if self.changes and stop - start < self.objects.describe(key).size_bytes:
            self.changes -= 1
            self.objects.put(key, b"b" * len(self.objects.contents[key]))
        return data


def changing_mirror(folder: Path, changes: int, monkeypatch: pytest.MonkeyPatch) -> tuple[StoreMirror, SharedObjects]:
    monkeypatch.setattr("avf_shards.stores.transfers._RANGE_BYTES", 10)
    objects = SharedObjects()
    objects.put("video.tar", b"a" * 25)
    objects.renew_listing()
    store = ChangingStore(objects)
    store.is_free, store.changes = True, changes
    mirror = StoreMirror(store, folder)
    mirror.pull()
    add_mirror(mirror)
    return mirror, objects


def test_an_object_that_changes_while_it_is_fetched_is_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror, objects = changing_mirror(tmp_path / "source", 1, monkeypatch)
    mirror.fetch(tmp_path / "source/video.tar")
    assert (tmp_path / "source/video.tar").read_bytes() == b"b" * 25
    written = dict(objects.versions)
    mirror.push()
    assert objects.versions == written, "what was read is not written back"


def test_an_object_that_never_rests_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror, _ = changing_mirror(tmp_path / "source", 99, monkeypatch)
    with pytest.raises(OSError, match="was written over in the store") as error:
        mirror.fetch(tmp_path / "source/video.tar")
    assert error.value.filename == "memory://bucket/run/video.tar"
    assert not [path for path in (tmp_path / ".source.mirror/tmp").rglob("*") if path.is_file() and path.stat().st_size]


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_uses_stays(tmp_path: Path) -> None:
    living = TemporaryNames(tmp_path / "tmp")
    used = living.new()
    used.write_bytes(LARGE)

    def die() -> None:
        TemporaryNames(tmp_path / "tmp").new().write_bytes(LARGE)
        os._exit(0)

    exit_status_in_child(die)
    assert sum(path.is_file() for path in (tmp_path / "tmp").rglob("*[!k]")) == 2
    TemporaryNames(tmp_path / "tmp").remove_left_behind()
    assert [path for path in (tmp_path / "tmp").rglob("*") if path.is_file() and path.suffix != ".lock"] == [used]


def test_a_mirror_that_is_only_written_to_writes_nothing_that_lay_there(objects: SharedObjects, tmp_path: Path) -> None:
    open_mirror(objects, tmp_path / "run")
    objects.put("table.csv", b"a newer table")
    (tmp_path / "run/stray.json").write_text("of a command that was killed")
    mirror = StoreMirror(free_store(objects), tmp_path / "run")
    mirror.note_present()
    (tmp_path / "run/page.html").write_text("page")
    add_mirror(mirror)
    replace_file(tmp_path / "run/answer.json", b"{}")
    mirror.push()
    assert objects.contents["table.csv"] == b"a newer table"
    assert "stray.json" not in objects.contents
    assert {"page.html", "answer.json"} <= objects.contents.keys()


def test_a_disk_without_room_is_named_with_the_way_to_another(
    objects: SharedObjects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "a file"))

    monkeypatch.setattr("avf_shards.stores.transfers.write_bytes", fail)
    with pytest.raises(OSError, match="AVF_FOUNDRY_MIRRORS to a folder of a larger disk") as error:
        open_mirror(objects, tmp_path / "run")
    assert error.value.filename == str(mirrors_folder())


def test_an_address_at_which_nothing_lies_is_no_folder_here(tmp_path: Path) -> None:
    open_mirror(SharedObjects(), tmp_path / "recipe.yaml")
    assert not (tmp_path / "recipe.yaml").exists()
