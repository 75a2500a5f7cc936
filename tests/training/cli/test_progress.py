"""Training shows on a terminal what it is doing, in one line that no other line continues."""

import io
import re
from pathlib import Path

import pytest
from avf_training.cli.main import main
from support.labelled import make_dataset, make_label_rows, make_labelled_shards
from support.training_runs import SHALLOW

SETS = ("batch=6", "micro_batch=6", "workers=0", "epochs=2", "threads=1", "log_every=1", "validation_share=0.34")


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _screen(written: str) -> list[str]:
    """Return the lines that stay on a terminal: `\\r\\033[K` erases the line so far, `\\r` begins it anew."""
    return [re.split(r"\r(?:\033\[K)?", line)[-1].removesuffix("\033[K") for line in written.split("\n")]


def test_a_fine_tune_shows_its_steps_and_the_clips_that_it_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_labelled_shards(tmp_path, {"lab": make_label_rows(6, 3)})
    monkeypatch.setattr("avf_training.tasks.catalog.find_dataset", lambda name: make_dataset())
    terminal = _Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    words = ["finetune", "--dataset", "lab", "--shards", str(tmp_path / "shards"), "--recipe", "nano"]
    words += [word for setting in (SHALLOW, *SETS) for word in ("--set", setting)]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    written = terminal.getvalue()
    for text in ("reading the records", "loading the model", "step 0/", "step 1/", "validating", "scoring clip 1 of "):
        assert any(text in shown for shown in written.split("\r")[1:]), text
    lines = _screen(written)
    assert lines[-1] == "", "nothing is left that a shell's prompt would continue"
    assert not [line for line in lines if "scoring clip" in line or "loading the model" in line], lines
