"""A FIFO in place of a file is named; whoever opens one as a file waits for ever."""

import os
import shutil
import socket
from pathlib import Path

import pytest
from avf_curation.cli.main import main as curate_main
from avf_curation.media.container import open_container
from avf_curation.media.types import MediaError
from avf_shards.cli.main import main as shards_main
from avf_shards.system.storage_faults import open_plain, read_bytes, read_text
from support.clips import make_flashing_shards


@pytest.fixture(scope="module")
def run_and_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("special")
    make_flashing_shards(folder, {"a": 2})
    return folder


def committed_files(folder: Path) -> list[Path]:
    files = [path for path in sorted([*(folder / "run").rglob("*"), *(folder / "shards").rglob("*")]) if path.is_file()]
    return [path for path in files if "log" not in path.parts]


def test_no_command_waits_for_a_fifo_in_place_of_a_committed_file(
    run_and_shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(run_and_shards, tmp_path / "all"))
    run, shards = str(folder / "run"), str(folder / "shards")
    checked = 0
    for path in committed_files(folder):
        data = path.read_bytes()
        path.unlink()
        os.mkfifo(path)
        verify = curate_main if path.is_relative_to(run) else shards_main
        assert verify(["verify", run if verify is curate_main else shards]) != 0, path
        output = capsys.readouterr()
        assert path.name in output.out + output.err
        for main, command in (
            (curate_main, ["status", run]),
            (curate_main, ["audit", run]),
            (shards_main, ["pack", run, "--out", str(folder / "new")]),
            (shards_main, ["ls", shards]),
        ):
            assert main(command) in (0, 1, 2)
            shutil.rmtree(folder / "new", ignore_errors=True)
        assert "Traceback" not in capsys.readouterr().err
        path.unlink()
        path.write_bytes(data)
        checked += 1
    assert checked > 12


def test_no_reader_of_files_waits_for_a_special_one(tmp_path: Path) -> None:
    fifo = tmp_path / "a.mp4"
    os.mkfifo(fifo)
    with pytest.raises(MediaError, match="is no plain file"):
        open_container(fifo)
    for path in (fifo, Path("/dev/zero")):
        for read in (read_bytes, read_text):
            with pytest.raises(OSError, match="is no plain file"):
                read(path)
    with pytest.raises(OSError, match="is no plain file"), open(fifo, "a", opener=open_plain):
        pass
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        with pytest.raises(OSError, match="is no plain file"):
            read_bytes(tmp_path / "s")
