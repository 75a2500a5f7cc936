"""Promise: a run that is killed at any point and started again by the same command ends with the same bytes.

The file operations of plan, unit commit, ledger and pack are numbered. A forked child process dies after each of them,
and once in the middle of each write.
"""

import os
import signal
from pathlib import Path

import pytest
from avf_shards.packing.verify import verify_shards
from avf_shards.system import durable_io
from support.crash_points import exit_status_in_child, kill_after_operation
from support.runs import make_inputs
from support.stored_jobs import run_job, without_models
from support.trees import file_digests


def run_and_die(source: Path, out: Path, number: int) -> None:
    """Do the job, and die after operation `number`."""
    with kill_after_operation(number):
        run_job(source, out)


@pytest.fixture(autouse=True)
def no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    without_models(monkeypatch)  # hundreds of children are forked


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_inputs(tmp_path_factory.mktemp("inputs"), 2)


@pytest.mark.slow  # `test_a_job_killed_repeatedly_ends_with_the_same_bytes` is the quick one
def test_a_job_killed_after_any_file_operation_ends_with_the_same_bytes(source: Path, tmp_path: Path) -> None:
    operations: list[str] = []
    with durable_io.watch(lambda operation, path: operations.append(operation)):
        run_job(source, tmp_path / "undisturbed")
    expected = file_digests(tmp_path / "undisturbed")
    assert verify_shards(tmp_path / "undisturbed/shards") == []
    assert {"mkdir", "create", "half a write", "write", "fsync", "rename", "link", "unlink"} <= set(operations)
    for number in range(1, len(operations) + 1):
        out = tmp_path / str(number)
        died = exit_status_in_child(lambda out=out, number=number: run_and_die(source, out, number))
        assert died == -signal.SIGKILL, f"operation {number} was not reached"
        assert exit_status_in_child(lambda out=out: run_job(source, out)) == 0, (
            f"after operation {number}, {operations[number - 1]}"
        )
        assert file_digests(out) == expected, f"after operation {number}, {operations[number - 1]}"


def test_a_job_killed_repeatedly_ends_with_the_same_bytes(source: Path, tmp_path: Path) -> None:
    run_job(source, tmp_path / "undisturbed")
    out = tmp_path / "hunted"
    statuses = []
    for number in range(40, 90):  # later each time, so that every start gets further
        statuses.append(exit_status_in_child(lambda number=number: run_and_die(source, out, number)))
        if statuses[-1] == 0:
            break
    assert statuses[-1] == 0
    assert set(statuses[:-1]) == {-signal.SIGKILL}
    assert len(statuses) > 4
    assert file_digests(out) == file_digests(tmp_path / "undisturbed")


def test_a_full_disk_is_reported_and_loses_nothing(source: Path, tmp_path: Path) -> None:
    import errno

    from avf_curation.pipeline.failures import InfrastructureError

    def full(operation: str, path: Path) -> None:
        if path.name == "clips.tar" and operation == "half a write":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    out = tmp_path / "out"
    with durable_io.watch(full), pytest.raises(InfrastructureError, match="No space left"):
        run_job(source, out)
    assert not list((out / "run/attempt-0").rglob("unit.json"))
    run_job(source, out)
    run_job(source, tmp_path / "undisturbed")
    assert file_digests(out) == file_digests(tmp_path / "undisturbed")
