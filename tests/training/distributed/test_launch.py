"""Ranks of a training load no module of the working folder."""

import os
import sys

import pytest
import torch.distributed.run
from avf_training.distributed import launch


def test_ranks_do_not_look_for_modules_in_the_working_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[list[str], str | None]] = []
    monkeypatch.setattr(
        torch.distributed.run, "main", lambda words: started.append((words, os.environ.get("PYTHONSAFEPATH")))
    )
    monkeypatch.setattr(launch, "end_with_launcher", lambda: None)
    monkeypatch.setattr(sys, "argv", ["launch", "2", "module", "--option"])
    monkeypatch.setenv("PYTHONSAFEPATH", "")  # so that what `main` sets is taken back
    launch.main()
    assert started == [(["--standalone", "--nproc-per-node", "2", "-m", "module", "--option"], "1")]
