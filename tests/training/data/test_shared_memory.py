"""A loader with too little shared memory says so and decodes in its own process, to the same result."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from avf_shards.errors import UserError
from avf_training.data import shared_memory
from avf_training.data.shared_buffers import SharedBuffers
from support.clips import make_flashing_shards
from support.streams import batch_contents, make_stream_loader, pretraining_sampler

PAGE_BYTES = 4096


def set_free(patch: pytest.MonkeyPatch, free_bytes: int) -> None:
    """Let the system say that so much shared memory is free."""
    real = os.statvfs

    def statvfs(path: Any) -> Any:
        if path == shared_memory.FOLDER:
            return SimpleNamespace(f_bavail=free_bytes // PAGE_BYTES, f_frsize=PAGE_BYTES)
        return real(path)

    patch.setattr(os, "statvfs", statvfs)


@pytest.mark.parametrize("free_bytes", [0, shared_memory.LEAST_BYTES])
def test_without_shared_memory_clips_are_decoded_in_the_process(
    free_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shards = make_flashing_shards(tmp_path, {"a": 6})
    expected = batch_contents(next(iter(make_stream_loader(shards, pretraining_sampler(), 2))))
    set_free(monkeypatch, free_bytes)
    loader = make_stream_loader(shards, pretraining_sampler(), 2, workers=2)
    assert batch_contents(next(iter(loader))) == expected
    assert loader.workers == 0
    assert "/dev/shm has 64 MB or less, too little for a worker" in caplog.text


def test_a_buffer_that_does_not_fit_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    set_free(monkeypatch, 10 * PAGE_BYTES)
    with pytest.raises(UserError, match=r"/dev/shm: 0 MB are free, .* takes 1 MB; .*--shm-size 8g.* fewer workers"):
        SharedBuffers(2).take(1, (1, 1000, 1000))
    assert SharedBuffers(0).take(1, (1, 1000, 1000)).shape == (1, 1, 1000, 1000)


def test_where_the_system_does_not_say_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "FOLDER", "/no such folder")
    assert shared_memory.free_shared_memory() is None
    assert not shared_memory.is_too_small()
    shared_memory.check_space(2**60)
