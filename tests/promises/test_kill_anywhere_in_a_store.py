"""Promise: a run in an object store that is killed anywhere, or whose store fails, ends with the bytes of a local run.

As in test_kill_anywhere, the operations are numbered, those of the store among them, and a forked process dies after
each. It is started again on the same machine, or on another one, which has no mirror yet.
"""

import os
import signal
import threading
from pathlib import Path

import pytest
from avf_shards.stores.fsspec_store import FsspecStore
from avf_shards.stores.object_names import is_part
from support.crash_points import exit_status_in_child
from support.runs import make_inputs
from support.store_server import StoreFaults, StoreServer
from support.stored_jobs import digests_in_store, job_in_process, run_job, without_models
from support.trees import file_digests

FAULTS = {
    "throttled": StoreFaults(slow_down_every=4),
    "half uploads": StoreFaults(cut_every=3),
    "lost answers": StoreFaults(lose_answer_every=3),
}


pytestmark = pytest.mark.usefixtures("store_client")


@pytest.fixture(autouse=True)
def no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    without_models(monkeypatch)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_inputs(tmp_path_factory.mktemp("inputs"), 2)


@pytest.fixture
def expected(source: Path, tmp_path: Path) -> dict[str, str]:
    run_job(source, tmp_path / "local")
    return file_digests(tmp_path / "local")


@pytest.mark.slow  # among the quick ones, test_the_clock_of_the_store_changes_nothing kills a job
@pytest.mark.timeout(1800)  # three processes for each of some 140 operations
def test_a_job_in_a_store_killed_after_any_operation_ends_with_the_same_bytes(tmp_path: Path) -> None:
    source = make_inputs(tmp_path / "inputs", 1)
    run_job(source, tmp_path / "local")
    expected = file_digests(tmp_path / "local")
    number, status = 0, -signal.SIGKILL
    while status == -signal.SIGKILL:
        number += 1
        out = f"s3://bucket/any-{number}"
        status = job_in_process(source, out, tmp_path / "first", dies_after=number)
        again = tmp_path / ("first" if number % 2 else "other")
        assert job_in_process(source, out, again) == 0, f"after operation {number}"
        assert digests_in_store(out, tmp_path / f"reader-{number}") == expected, f"after operation {number}"
    assert status == 0
    assert number > 60


@pytest.mark.slow
def test_a_job_in_a_store_killed_repeatedly_ends_with_the_same_bytes(
    source: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    statuses = []
    for attempt in range(12):  # later each time, so that every start gets further, each second one on another machine
        machine = tmp_path / f"machine-{attempt % 2}"
        statuses.append(job_in_process(source, "s3://bucket/often", machine, dies_after=25 + 9 * attempt))
        if statuses[-1] == 0:
            break
    assert statuses[-1] == 0
    assert set(statuses[:-1]) == {-signal.SIGKILL}
    assert len(statuses) > 3
    assert digests_in_store("s3://bucket/often", tmp_path / "reader") == expected


@pytest.mark.parametrize("name", FAULTS)
def test_a_store_that_fails_changes_no_byte(
    name: str, store_server: StoreServer, source: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    out = f"s3://bucket/{name.replace(' ', '-')}"
    store_server.set_faults(FAULTS[name])
    assert job_in_process(source, out, tmp_path / "writer") == 0
    store_server.set_faults(StoreFaults())
    assert digests_in_store(out, tmp_path / "reader") == expected


def test_a_token_that_expires_loses_nothing(
    store_server: StoreServer, source: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    store_server.set_faults(StoreFaults(expires_after_writes=4))
    assert job_in_process(source, "s3://bucket/expired", tmp_path / "writer") == 1
    store_server.set_faults(StoreFaults())
    assert FsspecStore("s3://bucket/expired").find(), "the token served for a while"
    assert job_in_process(source, "s3://bucket/expired", tmp_path / "writer") == 0
    assert digests_in_store("s3://bucket/expired", tmp_path / "reader") == expected


@pytest.mark.parametrize("ahead_s", [pytest.param(86_400, marks=pytest.mark.slow), -86_400])
def test_the_clock_of_the_store_changes_nothing(
    ahead_s: int, store_server: StoreServer, source: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    store_server.set_faults(StoreFaults(clock_ahead_s=ahead_s))
    videos, out = "s3://bucket/skewed/videos", f"s3://bucket/skewed/{ahead_s}"
    for path in source.iterdir():
        FsspecStore(videos).write_from_file(path.name, path)
    assert job_in_process(videos, out, tmp_path / "writer", dies_after=60) == -signal.SIGKILL
    assert job_in_process(videos, out, tmp_path / "writer") == 0
    digests = digests_in_store(out, tmp_path / "reader")
    plans = {name for name in digests if "/plan/" in name}  # they hold the times of the inputs
    assert {name: digests[name] for name in digests.keys() - plans} == {
        name: expected[name] for name in expected.keys() - plans
    }


def test_two_drivers_on_two_machines_commit_each_unit_once(
    source: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    statuses: dict[str, int] = {}

    def drive(machine: str) -> None:
        statuses[machine] = job_in_process(source, "s3://bucket/drivers", tmp_path / machine)

    def drive_both() -> None:
        threads = [threading.Thread(target=drive, args=(machine,)) for machine in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        os._exit(0 if statuses == {"a": 0, "b": 0} else 1)

    assert exit_status_in_child(drive_both) == 0
    assert digests_in_store("s3://bucket/drivers", tmp_path / "reader") == expected
    store = FsspecStore("s3://bucket/drivers/run")
    commits = b"".join(store.read(item.key) or b"" for item in store.find("attempt-0/"))
    parts = [item.key for item in store.find() if is_part(item.key)]
    assert all(key.rpartition("/")[2].encode() in commits for key in parts)
