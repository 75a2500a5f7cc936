"""A flipped bit in any committed file of a run is noticed, and the file is named."""

import random
import shutil
from pathlib import Path

import pytest
from avf_curation.cli.main import main
from avf_shards.cli.main import main as shards_main
from avf_shards.deletion.shard_deletion import deletion_request
from avf_shards.deletion.takedown import take_down
from avf_shards.errors import FaultError, UserError
from avf_shards.format.run_folder import RunFolder
from avf_shards.packing.run_verification import verify_run
from support.runs import make_run


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
