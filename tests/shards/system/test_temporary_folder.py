"""A folder is removed only where a marker says that it is this program's."""

import re
import shutil
from pathlib import Path

import pytest
from avf_curation.cli.main import main as curate_main
from avf_curation.reports.output_folder import fill_new_folder
from avf_shards.deletion.requests import deletion_request
from avf_shards.errors import UserError
from avf_shards.format import run_folder
from avf_shards.format.run_folder import RunFolder
from avf_shards.packing.pack import pack_shards
from avf_shards.packing.selection import Selection
from avf_shards.system import temporary_folder
from avf_shards.system.temporary_folder import MARKER, claim_temporary_folder, clear_temporary_folder
from support.crash_points import crash_after_operation
from support.runs import make_inputs, make_run
from support.takedowns import delete_clips, take_down


def add_own_folder(folder: Path) -> Path:
    """Make a user's own tmp/ in a folder; return the file in it."""
    (folder / "tmp").mkdir(parents=True)
    (folder / "tmp/thesis.txt").write_text("mine")
    return folder / "tmp/thesis.txt"


def test_no_command_removes_a_users_own_tmp(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path)
    pack_shards(run, tmp_path / "shards", Selection())
    files = [add_own_folder(run.root), add_own_folder(tmp_path / "shards"), add_own_folder(tmp_path / "new")]
    request = deletion_request(["made/001.mp4"])
    for work in (
        lambda: take_down(run, request),
        lambda: delete_clips(tmp_path / "shards", request),
        lambda: pack_shards(run, tmp_path / "new", Selection()),
    ):
        with pytest.raises(UserError, match=r"no marker of this program|holds files but no pack"):
            work()
    source = make_inputs(tmp_path / "more", 1)
    assert curate_main(["run", "--source", f"x={source}", "--out", str(tmp_path / "new"), "--engine", "inline"]) == 2
    assert "not empty and not a run" in capsys.readouterr().err
    assert curate_main(["gc", str(run.root)]) == 0
    assert [path.read_text() for path in files] == ["mine"] * 3
    shutil.rmtree(run.root / "tmp")
    assert len(take_down(run, request)) == 2


@pytest.mark.parametrize("name", ["unit-0000001-4711-0a1b2c3d", "plan-12-00000000", "a-000000.tar", "pack.json"])
def test_what_an_older_version_left_is_told_with_the_command(name: str, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp" / name).write_text("half")
    with pytest.raises(UserError, match=re.escape(f"remove it with: rm -r {tmp_path / 'tmp'}")):
        claim_temporary_folder(tmp_path / "tmp")
    assert (tmp_path / "tmp" / name).is_file()


def test_a_marked_folder_is_removed_after_a_kill_anywhere(tmp_path: Path) -> None:
    number = 0
    while True:
        folder = tmp_path / str(number)
        with crash_after_operation(number) as crash:
            claim_temporary_folder(folder)
            (folder / "a").mkdir()
            (folder / "a/b").write_text("part")
            clear_temporary_folder(folder)
        claim_temporary_folder(folder)
        clear_temporary_folder(folder)
        assert not folder.exists()
        if not crash.happened:
            break
        number += 1
    assert number >= 5


def test_a_report_that_fails_leaves_what_others_put_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def fail() -> None:
        with fill_new_folder(out) as folder:
            (folder / "page.html").write_text("half")
            (out / "mine.txt").write_text("mine")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_an_unmarked_folder_of_the_reports_name_is_a_users(tmp_path: Path) -> None:
    (tmp_path / ".unfinished").mkdir()
    (tmp_path / ".unfinished/mine.txt").write_text("mine")
    with pytest.raises(UserError, match="not a new or empty folder"), fill_new_folder(tmp_path):
        pass
    assert (tmp_path / ".unfinished/mine.txt").is_file()
    assert not (tmp_path / MARKER).exists()


@pytest.mark.parametrize("operation", ["claim_temporary_folder", "durable_io.make_folder"])
def test_a_first_run_goes_on_where_another_clears_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    """Two first runs of a folder: the one that holds it clears tmp/ while the other makes it, to be refused later."""
    module = run_folder if operation == "claim_temporary_folder" else temporary_folder.durable_io
    name = operation.rpartition(".")[2]
    operate, cleared = getattr(module, name), []

    def operate_and_lose(path: Path) -> None:
        operate(path)
        if path == tmp_path / "tmp" and len(cleared) < 2:
            shutil.rmtree(path)
            cleared.append(path)

    monkeypatch.setattr(module, name, operate_and_lose)
    assert RunFolder(tmp_path).temporary("unit").is_dir()
    assert len(cleared) == 2
