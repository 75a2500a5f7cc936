"""avf-curate run writes messages to standard error and its result to standard output."""

import json
from pathlib import Path

import pytest
from avf_curation.cli.main import main


def test_options_change_the_messages_and_not_the_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "notes.mp4").write_text("no video")
    words = ["run", "--source", f"s={source}", "--out", str(tmp_path / "run"), "--engine", "inline"]
    words += ["--weights", str(tmp_path / "none"), "--json", "-"]
    assert main(words) == 0
    captured = capsys.readouterr()
    first, *_, last = captured.err.splitlines()
    assert first.startswith("avf-curate: backends ")
    assert last.startswith("avf-curate: 1/1 videos, 0 kept, 0 rejected, 1 failed")
    assert main([*words, "-q"]) == 0
    quiet = capsys.readouterr()
    assert quiet.err == ""
    assert json.loads(quiet.out) == json.loads(captured.out)
    assert main(["--log-json", *words]) == 0
    entries = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (entries[0]["level"], entries[0]["logger"]) == ("INFO", "avf_curation.cli.run")
