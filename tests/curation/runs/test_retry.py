"""avf-curate retry takes its settings from the run."""

import shutil
from pathlib import Path

import pytest
from avf_curation.cli.main import main
from avf_shards.format.run_folder import RunFolder
from support.runs import make_run


def test_retry_takes_settings_and_source_folders_from_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/notes.mp4").write_text("no film")
    words = ["--engine", "inline", "--weights", str(tmp_path / "none")]
    assert main(["run", "--source", f"s={tmp_path / 'in'}", "--out", str(tmp_path / "run"), *words]) == 0
    assert main(["retry", str(tmp_path / "run"), *words]) == 0
    assert RunFolder(tmp_path / "run").attempts() == [0, 1]
    shutil.rmtree(tmp_path / "run/log")
    capsys.readouterr()
    assert main(["retry", str(tmp_path / "run"), *words]) == 2
    assert "the folder of source s is not known on this machine; add --source s=DIR" in capsys.readouterr().err


def test_folders_that_are_given_need_no_file_that_remembers_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path)
    remembered = run.log_folder / "sources.json"
    remembered.write_text('{"schema_version": 99}')
    words = ["retry", str(run.root), "--engine", "inline", "--weights", str(tmp_path / "none")]
    assert main(words) == 2
    assert "sources.json: source folders file of schema version 99" in capsys.readouterr().err
    assert main([*words, "--source", f"made={tmp_path / 'in'}"]) == 0


@pytest.mark.parametrize("folder", [r"\ud800", r"a\u0000b"])
def test_a_remembered_folder_that_no_path_is_counts_as_forgotten(
    tmp_path: Path, folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path)
    (run.log_folder / "sources.json").write_text('{"schema_version": 1, "folders": {"made": "' + folder + '"}}')
    assert main(["retry", str(run.root), "--engine", "inline", "--weights", str(tmp_path / "none")]) == 2
    assert "the folder of source made is not known on this machine" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--max-fault-share", "5"], "--max-fault-share 5 must be between 0 and 1"),
        (["--workers", "0"], "--workers 0 must be at least 1"),
    ],
)
def test_a_value_that_is_out_of_range_is_refused(
    tmp_path: Path, option: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path)
    assert main(["retry", str(run.root), "--engine", "inline", "--weights", str(tmp_path / "none"), *option]) == 2
    assert message in capsys.readouterr().err
