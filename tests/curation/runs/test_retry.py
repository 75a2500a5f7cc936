"""avf-curate retry takes its settings from the run."""

import shutil
from pathlib import Path

import pytest
from avf_curation.cli.main import main
from avf_shards.format.run_folder import RunFolder


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
