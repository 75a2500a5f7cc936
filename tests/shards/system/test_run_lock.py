"""A folder has one active process on any machine, and a process that ended does not hold the lock."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from avf_shards.errors import UserError
from avf_shards.system.run_lock import RunLock, current_holder, lock_files, marker_values, read_holders
from support.waiting import wait_until

HOLD = """
import sys, time
from pathlib import Path
from avf_shards.system.run_lock import RunLock
with RunLock(Path(sys.argv[1]), "lock", "here"):
    print("held", flush=True)
    time.sleep(60)
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


def test_a_process_of_another_machine_holds_the_lock_while_it_touches_its_marker(tmp_path: Path) -> None:
    marker = write_marker(tmp_path, machine="another boot", started=1)
    assert is_refused(tmp_path)
    os.utime(marker, (time.time() - 120, time.time() - 120))
    assert not is_refused(tmp_path)


def test_an_unreadable_marker_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "lock-000003.json").write_text("{")
    with RunLock(tmp_path, "lock", "here") as lock:
        assert lock.marker == tmp_path / "lock-000004.json"
    assert read_holders(tmp_path, "lock") == []


def test_a_lock_whose_marker_is_removed_is_lost(tmp_path: Path) -> None:
    with RunLock(tmp_path, "lock", "here") as lock:
        assert not lock.is_lost()
        assert lock.marker is not None
        lock.marker.unlink()
        assert lock.is_lost()


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
