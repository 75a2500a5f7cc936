"""verify reports flipped bytes, truncations, and missing and foreign files by name."""

import random
from pathlib import Path

import pytest
from avf_shards.cli.main import main
from avf_shards.format.run_folder import RunFolder
from avf_shards.packing.pack import pack_shards
from avf_shards.packing.selection import Selection
from avf_shards.packing.verify import verify_shards
from support.runs import make_run


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    run = make_run(tmp_path, videos=5)
    pack_shards(run, tmp_path / "shards", Selection(clips_per_shard=4))
    assert verify_shards(tmp_path / "shards") == []
    return tmp_path / "shards"


def first_shard(shards: Path) -> Path:
    return sorted(shards.glob("*.tar"))[0]


@pytest.mark.parametrize("seed", range(25))
def test_a_flipped_byte_is_reported(shards: Path, seed: int) -> None:
    draw = random.Random(seed)
    path = draw.choice(sorted(shards.iterdir()))
    data = bytearray(path.read_bytes())
    offset = draw.randrange(len(data))
    data[offset] ^= 1 << draw.randrange(8)
    path.write_bytes(data)
    faults = verify_shards(shards)
    assert faults
    assert any(path.name.split(".")[0] in fault for fault in faults)


def test_a_flipped_byte_is_reported_with_its_shard_and_member(shards: Path) -> None:
    path = first_shard(shards)
    clean = path.read_bytes()
    for offset, word in ((100, "tar header is damaged"), (600, "content is damaged")):
        path.write_bytes(clean[:offset] + bytes([clean[offset] ^ 1]) + clean[offset + 1 :])
        (fault,) = verify_shards(shards)
        assert word in fault
        assert path.name in fault
        assert ".flac" in fault


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.5, 0.77, 0.999])
def test_a_truncation_is_reported(shards: Path, share: float) -> None:
    path = first_shard(shards)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert any(path.name in fault and "truncated" in fault for fault in verify_shards(shards))


def test_missing_and_foreign_files_are_reported(shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing_shard = first_shard(shards)
    missing_shard.unlink()
    (shards / "stray.tar").write_bytes(b"x")
    assert main(["verify", str(shards)]) == 1
    out = capsys.readouterr().out
    assert f"{missing_shard.name}: missing" in out
    assert "stray.tar: foreign" in out


def test_a_folder_without_shards_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path)]) == 2
    assert "not a folder of shards" in capsys.readouterr().err


def test_an_unfinished_pack_is_reported(shards: Path) -> None:
    (shards / "manifest.json").unlink()
    assert "not finished" in verify_shards(shards)[0]


def test_a_run_folder_is_verified(tmp_path: Path) -> None:
    from avf_shards.errors import UserError

    with pytest.raises(UserError, match="not the folder of a run"):
        RunFolder.open_existing(tmp_path)
