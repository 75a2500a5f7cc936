"""avf-curate run: messages on standard error, beside the answer on standard output."""

import json
from pathlib import Path

import pytest
from avf_curation.cli.main import main


def test_messages_follow_the_options_and_the_answer_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "notes.mp4").write_text("no video")
    words = ["run", "--source", f"s={source}", "--out", str(tmp_path / "run"), "--engine", "inline"]
    words += ["--weights", str(tmp_path / "none"), "--json", "-"]
    assert main(words) == 0
    shown = capsys.readouterr()
    first, *_, last = shown.err.splitlines()
    assert first.startswith("avf-curate: backends ")
    assert last.startswith("avf-curate: 1/1 videos, 0 kept, 0 rejected, 1 failed")
    assert main([*words, "-q"]) == 0
    quiet = capsys.readouterr()
    assert quiet.err == ""
    assert json.loads(quiet.out) == json.loads(shown.out)
    assert main(["--log-json", *words]) == 0
    entries = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (entries[0]["level"], entries[0]["logger"]) == ("INFO", "avf_curation.cli.run")
