"""Remote shards: network faults cost time, lose no clip, and do not change the stream."""

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import pytest
from avf_shards.errors import UserError
from avf_training.data.cache import RangeCache
from avf_training.data.storage import RetryPolicy, StorageConfig
from support.clips import make_flashing_shards
from support.range_server import RangeServer, serve_ranges
from support.streams import batch_contents, make_stream_loader, pretraining_sampler

BATCH = 8


@pytest.fixture(scope="module")
def original_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_flashing_shards(tmp_path_factory.mktemp("afar"), {"a": 13, "b": 6})


@pytest.fixture
def shards(original_shards: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original_shards, tmp_path / "shards"))


@pytest.fixture
def server(shards: Path) -> Iterator[RangeServer]:
    with serve_ranges(shards) as serving:
        yield serving


SHORT_WAITS = RetryPolicy(first_wait_s=0.01)


def read_stream(shards: Path | str, workers: int = 0, epochs: int = 2, **storage: object) -> list[object]:
    config = StorageConfig(retry=SHORT_WAITS, **storage)
    loader = make_stream_loader(shards, pretraining_sampler(), BATCH, workers=workers, epochs=epochs, storage=config)
    return [batch_contents(batch) for batch in loader]


@pytest.mark.parametrize(("workers", "threads"), [(0, 0), (0, 5), (2, 16)])
def test_dropped_connections_do_not_change_the_stream(
    shards: Path, server: RangeServer, workers: int, threads: int
) -> None:
    expected = read_stream(shards)
    server.drop_every = 3
    assert read_stream(server.address, workers, read_ahead=threads) == expected
    assert server.dropped > 10


def test_the_cache_serves_the_second_epoch_and_the_next_run(shards: Path, server: RangeServer, tmp_path: Path) -> None:
    expected, cache = read_stream(shards, epochs=4), tmp_path / "cache"
    assert read_stream(server.address, epochs=4, cache=cache, read_ahead=0) == expected
    tars = sum(count for name, count in server.asked.items() if name.endswith(".tar"))
    assert tars <= 19 + 6, "each clip once, and the size of each shard"
    server.asked.clear()
    assert read_stream(server.address, epochs=4, cache=cache, read_ahead=0) == expected
    assert server.asked["manifest.json"] == 1
    assert all(name == "manifest.json" or name.endswith(".tar") for name in server.asked)
    assert server.asked.total() <= 1 + 6, "the manifest and the size of each shard"


def test_a_damaged_range_in_the_cache_is_downloaded_anew(shards: Path, server: RangeServer, tmp_path: Path) -> None:
    expected, cache = read_stream(shards), tmp_path / "cache"
    read_stream(server.address, cache=cache)
    ranges = [path for _, size, path in RangeCache(cache, 10**9).entries() if size > 2000]
    for path in ranges:
        path.write_bytes(path.read_bytes()[:-700] + bytes(700))
    assert read_stream(server.address, cache=cache) == expected
    for path in ranges:
        path.write_bytes(b"")
    assert read_stream(server.address, cache=cache) == expected


def test_a_small_cache_stays_within_its_limit_and_correct(shards: Path, server: RangeServer, tmp_path: Path) -> None:
    clip = max(path.stat().st_size for path in shards.glob("*.tar")) // 4
    cache, limit = tmp_path / "cache", 5 * clip
    assert read_stream(server.address, workers=2, cache=cache, cache_bytes=limit) == read_stream(shards)
    assert 0 < sum(size for _, size, _ in RangeCache(cache, limit).entries()) <= limit


def test_concurrent_writers_stay_within_the_limit_of_the_cache(tmp_path: Path) -> None:
    limit, sizes = 100_000, []
    caches = [RangeCache(tmp_path / "cache", limit) for _ in range(4)]

    def work(number: int) -> None:
        for n in range(150):
            name = f"{(number * 7 + n) % 90}"
            data = caches[number].get(name)
            assert data is None or data == name.encode() * 3000
            caches[number].put(name, name.encode() * 3000)
            with caches[number].lock_count():  # while nobody writes
                sizes.append(sum(size for _, size, _ in caches[number].entries()))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert max(sizes) <= limit
    (tmp_path / "cache" / "00").mkdir(exist_ok=True)
    (tmp_path / "cache" / "00" / "dead.123").write_bytes(b"of a process that died")
    for n in range(90):
        caches[0].put(f"new {n}", bytes(3000))
    caches[0].put("large", bytes(limit + 1))
    assert caches[0].get("large") is None
    assert not list((tmp_path / "cache").glob("??/*.*")), "nothing half-written is left"


def test_the_least_recently_used_range_is_evicted_first(tmp_path: Path) -> None:
    cache = RangeCache(tmp_path / "cache", 1000)
    for n in range(4):
        cache.put(str(n), bytes(200))
        path = cache.path(str(n))
        os.utime(path, (n, n))
    assert cache.get("0") is not None
    cache.put("new", bytes(300))
    assert cache.get("1") is None
    assert cache.get("0") is not None


def test_a_full_disk_disables_only_the_cache(
    shards: Path, server: RangeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    expected = read_stream(shards)
    monkeypatch.setattr(Path, "write_bytes", full)
    assert read_stream(server.address, cache=tmp_path / "cache") == expected


def test_an_unreachable_address_stops_the_run_without_clip_faults(server: RangeServer, tmp_path: Path) -> None:
    quarantine = tmp_path / "quarantine.jsonl"
    storage = StorageConfig(retry=RetryPolicy(tries=3, first_wait_s=0.01))
    loader = make_stream_loader(server.address, pretraining_sampler(), BATCH, quarantine=quarantine, storage=storage)
    stream = iter(loader)
    next(stream)
    server.drop_every = 1
    with pytest.raises(UserError, match=r"[ab]-00000\d.tar: out of reach after 3 tries .* start again when it is back"):
        list(islice(stream, 9))
    assert not quarantine.read_text()


def test_a_server_without_range_requests_is_refused(server: RangeServer) -> None:
    server.ranges = False
    with pytest.raises(UserError, match="ignores ranges"):
        read_stream(server.address)


def test_missing_and_truncated_shards_are_clip_faults(shards: Path, server: RangeServer, tmp_path: Path) -> None:
    path = shards / "a-000001.tar"
    path.write_bytes(path.read_bytes()[:-3000])
    (shards / "b-000001.tar").unlink()
    quarantine = tmp_path / "quarantine.jsonl"
    settings = {"max_fault_share": 1.0, "epochs": 2, "quarantine": quarantine}
    keys = [batch.keys for batch in make_stream_loader(server.address, pretraining_sampler(), BATCH, **settings)]
    assert keys == [batch.keys for batch in make_stream_loader(shards, pretraining_sampler(), BATCH, **settings)]
    errors = {(row["shard"], row["error"]) for row in map(json.loads, quarantine.read_text().splitlines())}
    assert {shard for shard, _ in errors} == {"a-000001.tar", "b-000001.tar"}
    assert any("truncated" in error for _, error in errors)
    assert any("missing" in error for _, error in errors)


def test_an_invalid_address_or_cache_is_refused(server: RangeServer, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"fsspec cannot read this address"):
        read_stream("nosuch://bucket/shards")
    with pytest.raises(UserError, match=r"has no manifest.json"):
        read_stream(f"{server.address}/elsewhere/" if (server.folder / "manifest.json").rename(tmp_path / "m") else "")
    with pytest.raises(UserError, match="cache_bytes 0"):
        read_stream(server.address, cache=tmp_path / "cache", cache_bytes=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="name a folder that can be made"):
        read_stream(server.address, cache=tmp_path / "file")


def test_shards_are_read_from_s3(shards: Path, tmp_path: Path) -> None:
    """The real client against a server that speaks S3."""
    s3fs = pytest.importorskip("s3fs")
    from moto.server import ThreadedMotoServer

    serving = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    serving.start()
    try:
        host, port = serving.get_host_and_port()
        options = {"key": "k", "secret": "s", "endpoint_url": f"http://{host}:{port}"}
        file_system = s3fs.S3FileSystem(**options)
        file_system.mkdir("corpus")
        file_system.put(str(shards) + "/", "corpus/shards/", recursive=True)
        expected, cache = read_stream(shards), tmp_path / "cache"
        assert read_stream("s3://corpus/shards", options=options, cache=cache) == expected
        assert read_stream("s3://corpus/shards", workers=1, options=options) == expected
        file_system.rm("corpus/shards/a-000000.tar")
        loader = make_stream_loader(
            "s3://corpus/shards",
            pretraining_sampler(),
            1,
            max_fault_share=1.0,
            epochs=1,
            storage=StorageConfig(options=options),
        )
        assert any("missing" in fault.error for batch in loader for fault in batch.faults)
    finally:
        serving.stop()
