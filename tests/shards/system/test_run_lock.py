"""A folder has one active process on any machine, and a process that ended does not hold the lock."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from avf_shards.errors import UserError
from avf_shards.system import run_lock
from avf_shards.system.run_lock import RunLock, current_holder, lock_files, marker_values, read_holders
from support.waiting import wait_until

HOLD = """
import sys, time
from pathlib import Path
from avf_shards.system.run_lock import RunLock
with RunLock(Path(sys.argv[1]), "lock", "here"):
    print("held", flush=True)
    time.sleep(600)
"""


def write_marker(folder: Path, number: int = 1, **values: object) -> Path:
    path = folder / f"lock-{number:06d}.json"
    path.write_text(json.dumps(marker_values(os.getpid()) | values))
    return path


def is_refused(folder: Path) -> bool:
    try:
        with RunLock(folder, "lock", "here"):
            return False
    except UserError:
        return True


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    first = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    with (
        pytest.raises(UserError, match=rf"^here: process {first.pid} on .*lock-000001\.json"),
        RunLock(tmp_path, "lock", "here"),
    ):
        pass
    first.kill()
    first.wait()
    with RunLock(tmp_path, "lock", "here") as lock:
        assert [path.name for path in tmp_path.iterdir()] == ["lock-000002.json"]
        holder = current_holder(tmp_path, "lock")
        assert holder is not None
        assert (holder.path, holder.pid) == (lock.marker, os.getpid())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pid", [1e999, 10**400, 2**31, 0, -1, True, "7", None])
def test_an_impossible_process_id_is_a_marker_that_cannot_be_read(tmp_path: Path, pid: object) -> None:
    write_marker(tmp_path, pid=pid)
    [holder] = read_holders(tmp_path, "lock")
    assert (holder.pid, holder.alive, holder.is_certain) == (0, False, False)


def test_a_zombie_process_does_not_hold_the_lock(tmp_path: Path) -> None:
    ended = subprocess.Popen(["sleep", "60"])
    values = marker_values(ended.pid)
    ended.kill()
    wait_until(lambda: marker_values(ended.pid)["started"] in (None, -1), "a process that is a zombie")
    write_marker(tmp_path, **values)
    assert not is_refused(tmp_path)
    ended.wait()


def test_a_reused_process_id_does_not_hold_the_lock(tmp_path: Path) -> None:
    write_marker(tmp_path)
    assert is_refused(tmp_path)
    write_marker(tmp_path, started=1)
    assert not is_refused(tmp_path)


@pytest.mark.usefixtures("short_watch")
def test_a_process_of_another_machine_holds_the_lock_while_it_touches_its_marker(tmp_path: Path) -> None:
    marker = write_marker(tmp_path, machine="another boot", started=1)
    assert is_refused(tmp_path)
    os.utime(marker, (time.time() - 120, time.time() - 120))
    assert not is_refused(tmp_path)


@pytest.fixture
def short_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lock, "WATCH_S", 0.02)
    monkeypatch.setattr(run_lock, "_POLL_S", 0.01)


@pytest.mark.usefixtures("short_watch")
@pytest.mark.parametrize(
    "content", [b"", b"{", b"null", b"[]", b"\xff\xfe", b'{"pid": "x"}', b'{"pid": 1}', b"[" * 100_000, b"\0" * 4096]
)
def test_a_marker_that_cannot_be_read_stops_nobody_when_nobody_touches_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lock-000003.json").write_bytes(content)
    with RunLock(tmp_path, "lock", "here") as lock:
        assert lock.marker == tmp_path / "lock-000004.json"
    assert read_holders(tmp_path, "lock") == []


@pytest.mark.parametrize("name", ["lock-1x.json", "lock-.json", "lock-0000000000000000000001.json", "lock-1.json.json"])
def test_files_with_other_names_are_no_markers(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(json.dumps(marker_values(os.getpid())))
    with RunLock(tmp_path, "lock", "here") as lock:
        assert lock.marker == tmp_path / "lock-000001.json"


@pytest.mark.parametrize("age_s", [-7200, 120, 7200])
def test_a_living_process_keeps_its_lock_after_a_clock_has_stepped(
    tmp_path: Path, age_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its marker looks old, or from the future, until it is touched once more."""
    marker = write_marker(tmp_path, machine="another boot", started=1)
    os.utime(marker, (time.time() - age_s, time.time() - age_s))
    monkeypatch.setattr(run_lock.time, "sleep", lambda seconds: os.utime(marker, (1.0, 1.0)))
    assert is_refused(tmp_path)
    assert marker.exists()


@pytest.mark.usefixtures("short_watch")
def test_a_dead_process_with_a_marker_from_the_future_holds_nothing(tmp_path: Path) -> None:
    marker = write_marker(tmp_path, machine="another boot", started=1)
    os.utime(marker, (time.time() + 7200, time.time() + 7200))
    assert not is_refused(tmp_path)


def test_a_marker_is_durable_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    fsync, link = os.fsync, os.link
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append("fsync"), fsync(handle))[1])
    monkeypatch.setattr(os, "link", lambda *paths: (calls.append("link"), link(*paths))[1])
    with RunLock(tmp_path, "lock", "here"):
        assert calls == ["fsync", "link", "fsync"]


def test_a_link_that_was_made_although_the_server_says_otherwise_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def link_twice(*paths: Path) -> None:
        link(*paths)
        raise FileExistsError

    monkeypatch.setattr(os, "link", link_twice)
    with RunLock(tmp_path, "lock", "here") as lock:
        assert lock.marker == tmp_path / "lock-000001.json"


def test_a_lock_whose_marker_is_removed_is_lost(tmp_path: Path) -> None:
    with RunLock(tmp_path, "lock", "here") as lock:
        assert not lock.is_lost()
        assert lock.marker is not None
        lock.marker.unlink()
        assert lock.is_lost()


def take_over(folder: Path) -> RunLock:
    """Return the lock of a process that finds all others dead, entered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_lock, "_is_alive", lambda *_: (False, True))
        return RunLock(folder, "lock", "here").__enter__()


def test_a_successor_with_the_same_number_keeps_its_lock(tmp_path: Path) -> None:
    with RunLock(tmp_path, "lock", "here") as first:  # and is suspended
        second = take_over(tmp_path)
        assert second.marker == tmp_path / "lock-000002.json"
        assert first.is_lost()
        second.__exit__(None, None, None)
        third = take_over(tmp_path)
        assert third.marker == first.marker == tmp_path / "lock-000001.json"
        assert first.is_lost()
        with pytest.raises(UserError, match="another process took over"):
            first.check()
        os.utime(third.marker, (1.0, 1.0))
        first.touch()
        assert third.marker.stat().st_mtime == 1.0
        third.touch()
        assert third.marker.stat().st_mtime > 1.0
    assert not third.is_lost()
    third.__exit__(None, None, None)
    assert list(tmp_path.iterdir()) == []


def test_a_living_process_of_version_0_2_whose_marker_has_no_token_holds_the_lock(tmp_path: Path) -> None:
    marker = write_marker(tmp_path)
    assert "token" not in json.loads(marker.read_text())
    assert is_refused(tmp_path)
    assert current_holder(tmp_path, "lock") is not None
    write_marker(tmp_path, started=1)
    with RunLock(tmp_path, "lock", "here") as lock:
        assert lock.marker is not None
        assert "token" in json.loads(lock.marker.read_text())


def test_a_forked_child_that_leaves_the_block_does_not_release_the_lock(tmp_path: Path) -> None:
    with RunLock(tmp_path, "lock", "here") as lock:
        child = os.fork()
        if child == 0:
            lock.__exit__(None, None, None)
            os._exit(0)
        os.waitpid(child, 0)
        assert not lock.is_lost()


def test_files_of_killed_processes_are_listed(tmp_path: Path) -> None:
    (tmp_path / "lock-claim-0123abcd").touch()
    (tmp_path / "other-000001.json").touch()
    marker = write_marker(tmp_path)
    assert lock_files(tmp_path, "lock") == [marker, tmp_path / "lock-claim-0123abcd"]
