"""A new folder appears with all its files, or not at all."""

import os
from pathlib import Path

import pytest
from avf_shards.errors import UserError
from avf_shards.system import durable_io
from avf_shards.system.new_folder import write_new_folder


def test_a_folder_appears_at_the_end_of_the_block(tmp_path: Path) -> None:
    out = tmp_path / "deep/out"
    with write_new_folder(out) as folder:
        durable_io.write(folder / "a", b"1")
        assert not out.exists()
    assert (out / "a").read_bytes() == b"1"
    assert os.listdir(out.parent) == ["out"]
    mask = os.umask(0)
    os.umask(mask)
    assert out.stat().st_mode & 0o777 == 0o777 & ~mask, "as any folder that this user makes"


def write_and_fail(out: Path) -> None:
    with write_new_folder(out) as folder:
        durable_io.write(folder / "a", b"1")
        raise ValueError("no")


def write_late(out: Path) -> None:
    """Write a folder while another process publishes one of this name."""
    with write_new_folder(out) as folder:
        durable_io.write(folder / "a", b"1")
        out.mkdir()
        (out / "other").touch()


def test_a_block_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"):
        write_and_fail(tmp_path / "out")
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="is there already"):
        write_and_fail(tmp_path / "out")
    with pytest.raises(UserError, match="is there already"):
        write_late(tmp_path / "late")
    assert os.listdir(tmp_path / "late") == ["other"]
    assert sorted(os.listdir(tmp_path)) == ["late", "out"]
