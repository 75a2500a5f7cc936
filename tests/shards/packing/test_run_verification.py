"""A flipped bit in any committed file of a run is noticed, and the file is named."""

import errno
import os
import random
import shutil
from pathlib import Path

import pytest
from avf_curation.cli.main import main
from avf_shards.cli.main import main as shards_main
from avf_shards.deletion.requests import deletion_request
from avf_shards.errors import FaultError, UserError
from avf_shards.format.run_folder import RunFolder, attempt_ledger_files
from avf_shards.packing.run_verification import verify_run
from avf_shards.schema.ledger import encode_ledger, read_ledger
from avf_shards.system import durable_io
from avf_shards.system.storage_faults import name_path
from support.failing_reads import failing_reads
from support.runs import make_run
from support.takedowns import take_down


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = make_run(tmp_path_factory.mktemp("verify_run"), videos=4)
    take_down(run, deletion_request(["made/001.mp4"]))
    assert verify_run(run) == []
    return run


def committed_files(run: RunFolder) -> list[Path]:
    folders = [run.root / "run", *(run.attempt_folder(attempt) for attempt in run.attempts())]
    return [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]


def is_noticed(run: RunFolder, path: Path) -> bool:
    try:
        faults = verify_run(RunFolder.open_existing(run.root))
    except (FaultError, UserError) as error:
        faults = [str(error)]
    return any(path.name in fault for fault in faults)


def test_single_flipped_bits_in_each_kind_of_committed_file_are_noticed(finished: RunFolder) -> None:
    draw, kinds = random.Random(18), set()
    for path in committed_files(finished):
        kinds.add(path.name)
        clean = path.read_bytes()
        # Everywhere in small files; the content of clips, which is the most, at fewer bytes.
        for offset in sorted({0, len(clean) - 1, *(draw.randrange(len(clean)) for _ in range(12))}):
            damaged = bytearray(clean)
            damaged[offset] ^= 1 << draw.randrange(8)
            path.write_bytes(damaged)
            assert is_noticed(finished, path), f"{path}: a bit of byte {offset}"
        path.write_bytes(clean)
    assert verify_run(finished) == []
    assert kinds == {
        "run.json",
        "plan.parquet",
        "plan.json",
        "skipped_inputs.parquet",
        "ledger.parquet",
        "ledger.json",
        "unit.json",
        "clips.tar",
        "clips.index.json",
    }


def test_a_missing_file_is_named(finished: RunFolder, tmp_path: Path) -> None:
    for name in ("plan/plan.json", "plan/plan.parquet", "ledger/ledger.parquet", "units/0000/0000000/clips.tar"):
        run = RunFolder(Path(shutil.copytree(finished.root, tmp_path / name.replace("/", "-"))))
        (run.attempt_folder(0) / name).unlink()
        assert any(name in fault and "missing" in fault for fault in verify_run(run))


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)


def test_every_fault_of_an_unfinished_run_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path, videos=6)
    shutil.rmtree(run.attempt_folder(0) / "ledger")
    assert verify_run(run) == []
    units = [run.unit_folder(0, unit) for unit in range(3)]
    for path in (units[0] / "unit.json", units[1] / "ledger.parquet", units[2] / "clips.tar"):
        flip_a_bit(path)
    (units[1] / "clips.tar").unlink()
    faults = verify_run(run)
    assert [next(name for name in ("unit.json", "ledger.parquet", "clips.tar") if name in each) for each in faults] == [
        "unit.json",
        "ledger.parquet",
        "clips.tar",
    ]
    (units[0] / "unit.json").unlink()
    assert f"{units[0] / 'unit.json'}: missing" in verify_run(run)


def test_a_damaged_ledger_makes_no_fault_of_deleted_clips(finished: RunFolder, tmp_path: Path) -> None:
    run = RunFolder(Path(shutil.copytree(finished.root, tmp_path / "run")))
    flip_a_bit(run.attempt_folder(1) / "ledger/ledger.parquet")
    (fault,) = verify_run(run)
    assert "attempt-1/ledger/ledger.parquet" in fault
    part = run.unit_folder(0, 0) / "clips.tar"
    with open(part, "r+b") as file:
        file.seek(600)  # in the first clip, which was not deleted
        byte = file.read(1)[0]
        file.seek(600)
        file.write(bytes([byte ^ 1]))
    assert [str(part) in each for each in verify_run(run)] == [False, True]


@pytest.mark.parametrize("name", ["ledger/ledger.parquet", "plan/plan.parquet", "plan/plan.json"])
def test_audit_and_verify_name_a_damaged_file(
    finished: RunFolder, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunFolder(Path(shutil.copytree(finished.root, tmp_path / "run")))
    flip_a_bit(run.attempt_folder(0) / name)
    assert main(["audit", str(run.root)]) == 1
    assert name in capsys.readouterr().err
    assert main(["verify", str(run.root)]) == 1
    assert name in capsys.readouterr().out
    if "ledger" in name:
        assert shards_main(["pack", str(run.root), "--out", str(tmp_path / "shards")]) == 1
        assert name in capsys.readouterr().err


def test_an_intact_run_is_said_to_be_intact(finished: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(finished.root)]) == 0
    assert "every committed file is as it was written" in capsys.readouterr().out


@pytest.mark.parametrize("attempt", [0, 1])
def test_a_missing_unit_is_named(finished: RunFolder, tmp_path: Path, attempt: int) -> None:
    run = RunFolder(Path(shutil.copytree(finished.root, tmp_path / "run")))
    folder = run.unit_folder(attempt, 0)
    shutil.rmtree(folder)
    assert f"{folder}: missing; the plan has this unit" in verify_run(run)


def test_a_missing_unit_of_an_unfinished_run_is_named_from_its_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, videos=6)
    shutil.rmtree(run.attempt_folder(0) / "ledger")
    assert main(["verify", str(run.root)]) == 0
    shutil.rmtree(run.unit_folder(0, 1))
    assert main(["verify", str(run.root)]) == 1
    assert f"{run.unit_folder(0, 1)}: missing; log/units.jsonl says that it was committed" in capsys.readouterr().out


def test_a_ledger_of_other_spans_than_its_units_is_named(finished: RunFolder, tmp_path: Path) -> None:
    run = RunFolder(Path(shutil.copytree(finished.root, tmp_path / "run")))
    path = run.attempt_folder(0) / "ledger" / "ledger.parquet"
    shorter = encode_ledger(read_ledger(path).slice(1))
    for name, data in attempt_ledger_files(0, shorter).items():
        (path.parent / name).write_bytes(data)
    assert any("and the units of attempt 0 hold" in fault for fault in verify_run(run))


READERS: dict[str, tuple[str, ...]] = {
    "run.json": ("verify", "audit", "pack"),
    "plan.json": ("verify", "audit"),
    "plan.parquet": ("verify", "audit"),
    "ledger.parquet": ("verify", "audit", "pack"),
    "ledger.json": ("verify", "audit", "pack"),
    "unit.json": ("verify", "pack"),
    "clips.index.json": ("verify", "pack"),
    "clips.tar": ("verify", "pack"),
}


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
@pytest.mark.parametrize("name", READERS)
def test_a_failing_read_names_its_file_in_every_command(
    tmp_path: Path, name: str, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, videos=2)
    path = next(path for path in committed_files(run) if path.name == name)
    for command in READERS[name]:
        arguments = ["pack", str(run.root), "--out", str(tmp_path / "shards")]
        program = shards_main if command == "pack" else main
        with failing_reads(path, lambda count: True, number):
            assert program(arguments if command == "pack" else [command, str(run.root)]) == 2, command
        assert f"{path}: {os.strerror(number)}" in capsys.readouterr().err, command


def test_a_failing_write_names_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write and an fsync know only the number of an open file."""

    def fail(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"No space left on device: '.*/a'"):
        durable_io.write(tmp_path / "a", b"data")
    with pytest.raises(OSError, match=r"No space left on device: '.*/a'"):
        durable_io.overwrite_with_zeros(tmp_path / "a", 0, 2)
    with pytest.raises(OSError, match=r"No space left on device: .*test_a_failing_write"):
        durable_io.sync_folder(tmp_path)
    with (
        open("/dev/full", "wb", buffering=0) as full,
        pytest.raises(OSError, match="No space left on device: '/a/name'"),
        name_path(Path("/a/name")),
    ):
        full.write(b"x")
