"""A checkpoint is complete or absent, after a crash at any file operation."""

import copy
import hashlib
import io
import os
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from avf_shards.errors import FaultError, UserError
from avf_shards.format.manifest import seal
from avf_shards.system import durable_io
from avf_shards.system.run_lock import RunLock
from avf_training.distributed.collectives import process_group
from avf_training.trainer.checkpoint import Checkpoints
from avf_training.trainer.run_folder import exclusive_lock
from support.crash_points import by_strides, crash_after_operation
from torch import nn


@pytest.fixture(scope="module", autouse=True)
def world() -> Iterator[None]:
    with process_group("cpu"):
        yield


class Run:
    """A model that learns, and its checkpoints."""

    def __init__(self, folder: Path, keep: int = 3, lock: RunLock | None = None) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Linear(6, 2))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.1)
        self.checkpoints = Checkpoints(folder, keep, 0, lock)

    def learn(self) -> dict[str, torch.Tensor]:
        self.optimizer.zero_grad()
        self.model(torch.arange(24.0).view(4, 6)).square().sum().backward()
        self.optimizer.step()
        return copy.deepcopy(self.model.state_dict())

    def save(self, step: int) -> None:
        self.checkpoints.save(step, self.model, self.optimizer, {"place": step * 10})
        self.checkpoints.wait()

    def load(self) -> int:
        saved = self.checkpoints.newest()
        if saved is None:
            return 0
        self.checkpoints.load(saved, self.model, self.optimizer)
        assert saved.state == {"place": saved.step * 10}
        return saved.step


def states_equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_loaded_checkpoint_continues_training_identically(tmp_path: Path) -> None:
    first = Run(tmp_path)
    first.learn()
    first.save(1)
    after = first.learn()
    restored = Run(tmp_path)
    assert restored.load() == 1
    assert states_equal(restored.learn(), after), "moments of the optimizer and running statistics too"


def test_a_checkpoint_is_written_while_training_continues(tmp_path: Path) -> None:
    run = Run(tmp_path)
    before = run.learn()
    run.checkpoints.save(1, run.model, run.optimizer, {"place": 10})
    run.learn()
    run.checkpoints.wait()
    restored = Run(tmp_path)
    restored.load()
    assert states_equal(restored.model.state_dict(), before)


def test_a_process_that_lost_its_run_saves_nothing(tmp_path: Path) -> None:
    with exclusive_lock(tmp_path) as lock:
        run = Run(tmp_path, lock=lock)
        run.save(1)
        assert lock is not None
        assert lock.marker is not None
        lock.marker.unlink()  # as another machine does that takes over after this one was suspended
        run.learn()
        with pytest.raises(UserError, match=r"another process has taken this run over .* step 2 is not saved"):
            run.save(2)
        assert run.checkpoints.steps() == [1]


@by_strides
def test_a_crash_after_any_file_operation_leaves_a_valid_checkpoint(stride: int, tmp_path: Path) -> None:
    reached, number = set(), 0
    while True:
        folder = tmp_path / str(number)
        run = Run(folder, keep=1)
        states = {1: run.learn()}
        run.save(1)
        states[2] = run.learn()
        with crash_after_operation(number, UserError) as crash:
            run.save(2)
        restored = Run(folder, keep=1)
        step = restored.load()
        reached.add(step)
        assert states_equal(restored.model.state_dict(), states[step]), f"after operation {number}"
        restored.save(3)
        assert Run(folder).load() == 3
        assert restored.checkpoints.steps() == [3]
        if not crash.happened:
            break
        number += stride
    assert reached == {1, 2}
    assert number > 10


def test_only_the_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    run = Run(tmp_path, keep=2)
    for step in (1, 2, 3, 4):
        run.learn()
        run.save(step)
    assert run.checkpoints.steps() == [3, 4]
    assert (tmp_path / "checkpoints/latest").read_text() == "step-00000004\n"


def test_a_run_resumed_before_a_damaged_checkpoint_keeps_its_new_checkpoints(tmp_path: Path) -> None:
    run = Run(tmp_path, keep=1)
    run.learn()
    run.save(8)
    (tmp_path / "checkpoints/step-00000008/manifest.json").write_text("damaged")
    state = run.learn()
    run.save(6)
    restored = Run(tmp_path, keep=1)
    assert restored.load() == 6
    assert states_equal(restored.model.state_dict(), state)
    assert restored.checkpoints.steps() == [6]


@pytest.mark.parametrize("victim", ["manifest.json", ".metadata", "__0_0.distcp"])
@pytest.mark.parametrize("fault", ["flipped", "cut", "gone"])
def test_a_damaged_checkpoint_is_named_and_the_previous_offered(tmp_path: Path, victim: str, fault: str) -> None:
    run = Run(tmp_path)
    for step in (1, 2):
        run.learn()
        run.save(step)
    path = tmp_path / "checkpoints/step-00000002" / victim
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    if fault == "gone":
        path.unlink()
    else:
        path.write_bytes(data if fault == "flipped" else data[:-3])
    with pytest.raises(FaultError, match=rf"step-00000002: {victim}.*start again with --from-step 1"):
        run.checkpoints.newest()
    saved = run.checkpoints.newest(1)
    assert saved is not None
    assert saved.step == 1
    with pytest.raises(UserError, match=r"has no checkpoint of step 7; there are \[1, 2\]"):
        run.checkpoints.newest(7)


def test_a_full_disk_is_reported_and_loses_no_checkpoint(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.learn()
    run.save(1)

    def full(operation: str, path: Path) -> None:
        if operation == "half a write":
            raise OSError(28, "No space left on device")

    with (
        durable_io.watch(full),
        pytest.raises(UserError, match=r"step 2 cannot be written .*No space left.* are complete"),
    ):
        run.save(2)
    assert Run(tmp_path).load() == 1
    run.save(2)
    assert Run(tmp_path).load() == 2


class RunsACommand:
    """An object whose unpickling makes the folder `proof`."""

    def __init__(self, proof: Path) -> None:
        self._proof = proof

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self._proof),)


def rewrite_checkpoint(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replace files of a checkpoint, and write a manifest that lists these files alone, with right digests."""
    for name, data in files.items():
        (folder / name).write_bytes(data)
    listed = {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
    manifest = {"step": 1, "files": listed, "state": {"place": 10}}
    (folder / "manifest.json").write_bytes(seal(manifest, "checkpoint"))


def saved_run(root: Path) -> tuple[Run, Path]:
    run = Run(root)
    run.learn()
    run.save(1)
    return run, root / "checkpoints/step-00000001"


def test_code_in_the_metadata_of_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    run, folder = saved_run(tmp_path)
    rewrite_checkpoint(folder, {".metadata": pickle.dumps(RunsACommand(tmp_path / "proof"))})
    with pytest.raises(FaultError, match=r"\.metadata names posix\.mkdir"):
        run.load()
    assert not (tmp_path / "proof").exists()


def test_code_in_the_values_of_an_optimizer_is_not_run(tmp_path: Path) -> None:
    run, folder = saved_run(tmp_path)
    metadata = pickle.loads((folder / ".metadata").read_bytes())
    index = next(item for item in metadata.storage_data if "param_groups" in item.fqn)
    evil = io.BytesIO()
    torch.save(RunsACommand(tmp_path / "proof"), evil)
    tensors = (folder / "__0_0.distcp").read_bytes()
    metadata.storage_data[index] = replace(
        metadata.storage_data[index], offset=len(tensors), length=len(evil.getvalue())
    )
    files = {".metadata": pickle.dumps(metadata), "__0_0.distcp": tensors + evil.getvalue()}
    rewrite_checkpoint(folder, files)
    with pytest.raises(FaultError, match="holds more than tensors and numbers"):
        run.load()
    assert not (tmp_path / "proof").exists()


def test_a_checkpoint_reads_no_file_outside_its_manifest(tmp_path: Path) -> None:
    run, folder = saved_run(tmp_path)
    metadata = pickle.loads((folder / ".metadata").read_bytes())
    for index, item in metadata.storage_data.items():
        metadata.storage_data[index] = replace(item, relative_path="../../other.distcp")
    rewrite_checkpoint(folder, {".metadata": pickle.dumps(metadata)})
    with pytest.raises(FaultError, match=r"names '\.\./\.\./other\.distcp', which the manifest does not list"):
        run.load()


@pytest.mark.parametrize("files", [{}, {"__0_0.distcp": b""}, {"../x": b"", ".metadata": b""}])
def test_a_manifest_that_lists_other_files_is_refused(files: dict[str, bytes], tmp_path: Path) -> None:
    run, folder = saved_run(tmp_path)
    rewrite_checkpoint(folder, files)
    with pytest.raises(FaultError, match=r"manifest\.json lists"):
        run.load()
