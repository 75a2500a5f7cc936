"""Files of shards do not stay open after the loader that read them is gone."""

import gc
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest
from avf_training.data.storage import LocalFolder
from support.clips import make_flashing_shards
from support.streams import make_stream_loader, pretraining_sampler


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_flashing_shards(tmp_path_factory.mktemp("storage"), {"a": 6, "b": 3})


def open_files_below(folder: Path) -> int:
    """Return how many descriptors of this process are open files below `folder`."""
    links = [entry for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    return sum(str(entry.readlink()).startswith(str(folder)) for entry in links if entry.is_symlink())


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Turn the cyclic collector off, so that only objects outside reference cycles are freed."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("workers", [0, 1])
def test_a_dropped_loader_leaves_no_shard_open_and_no_worker(shards: Path, workers: int) -> None:
    others = set(multiprocessing.active_children())
    for _ in range(3):
        loader = make_stream_loader(shards, pretraining_sampler(), 4, workers=workers)
        batches = iter(loader)
        next(batches)
        assert open_files_below(shards) > 0 or workers > 0  # a worker opens the shards in its own process
        assert len(set(multiprocessing.active_children()) - others) == workers
        del batches, loader
    assert open_files_below(shards) == 0
    assert set(multiprocessing.active_children()) <= others


def test_a_closed_folder_leaves_no_shard_open_and_opens_it_again(shards: Path) -> None:
    folder = LocalFolder(shards)
    shard = next(shards.glob("*.tar")).name
    start = folder.read_range(shard, "", 0, 512)
    assert open_files_below(shards) == 1
    folder.close()
    assert open_files_below(shards) == 0
    assert folder.read_range(shard, "", 0, 512) == start
