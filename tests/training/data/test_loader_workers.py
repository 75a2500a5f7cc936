"""A loader may have more workers than the machine has cores, without a word of torch."""

import os
import warnings
from pathlib import Path

import pytest
from support.clips import make_flashing_shards
from support.streams import batch_contents, make_stream_loader, pretraining_sampler


def test_more_workers_than_cores_give_the_same_batch_and_no_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shards = make_flashing_shards(tmp_path, {"a": 6})
    expected = batch_contents(next(iter(make_stream_loader(shards, pretraining_sampler(), 2))))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)
    loader = make_stream_loader(shards, pretraining_sampler(), 2, workers=2)
    with warnings.catch_warnings(), caplog.at_level("INFO", logger="avf_training"):
        warnings.simplefilter("error")
        assert batch_contents(next(iter(loader))) == expected
    assert "with 2 workers; cores: 1" in caplog.text
