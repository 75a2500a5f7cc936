"""The search misses no name that was removed, at whatever byte it begins, and takes no other for one."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from avf_shards.deletion import name_search
from avf_shards.deletion.name_search import search_files, search_parquet
from avf_shards.deletion.removed_names import RemovedNames

KEYS = ["s-0123456789abcdef0123456789abcdef-0000000-0000200-0", "talk_2-0123456789ab-12345678-12345999-11"]
DIGEST = "0123456789abcdef" * 4
NAMES = RemovedNames(keys=frozenset(KEYS), digests=frozenset({DIGEST}))
VIDEOS = RemovedNames(videos=frozenset({("s", "id7/Zoë.mp4"), ("s", "17")}), ids=frozenset({"id7/Zoë.mp4", "17"}))


@pytest.mark.parametrize("name", [*KEYS, DIGEST])
def test_a_key_and_a_digest_are_seen_at_every_offset_and_over_the_limits_of_chunks(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name_search, "_CHUNK_BYTES", 512)
    data = np.random.default_rng(0).bytes(1200)
    path = tmp_path / "shard.tar"
    for offset in range(1100 - len(name)):
        path.write_bytes(data[:offset] + name.encode() + b"." + data[offset:])  # another digit would make another key
        assert search_files([path], NAMES) == (1201 + len(name), {path: name}), offset
    path.write_bytes(data + name.encode())
    assert search_files([path], NAMES)[1] == {path: name}, "at the end"


def test_other_keys_are_not_taken_for_a_deleted_one(tmp_path: Path) -> None:
    path = tmp_path / "shard.index.json"
    path.write_text(
        "".join(f"x{KEYS[0]}7.mp4 t-{KEYS[0][2:]} {KEYS[0].replace('-0000200-', '-0000201-')} " for _ in range(9))
    )
    assert search_files([path], NAMES) == (path.stat().st_size, {})
    assert search_files([], NAMES) == (0, {})


@pytest.mark.parametrize(
    "text",
    [
        "s/17 ",
        "/data/s/17.",
        "x s/id7/Zoë.mp4",
        '{"video_id": "id7/Zoë.mp4"}',
        json.dumps({"path": "id7/Zoë.mp4"}),
        "<td>id7/Zoë.mp4</td>",
        "href=id7/Zo%C3%AB.mp4",
    ],
)
def test_a_video_is_seen_in_each_form_of_its_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(f"begin {text}", "utf-8")
    assert list(search_files([path], VIDEOS)[1]) == [path]


@pytest.mark.parametrize("text", ["17 videos", "s/170", "as/17", "s/17.mp4", "s/17-b", "grid7/Zoë.mp4", "id7/Zoë.mp4a"])
def test_a_part_of_another_name_is_no_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(text, "utf-8")
    assert search_files([path], VIDEOS)[1] == {}


def test_texts_of_a_parquet_file_are_searched_though_they_are_compressed(tmp_path: Path) -> None:
    other = "s-" + "f" * 32 + "-0000000-0000200-0"
    columns: list[pa.Array] = [
        pa.array([other, KEYS[0]]),
        pa.array([[other], [KEYS[1]]]),
        pa.array([{"a": 1, "b": DIGEST}, None]),
        pa.array([DIGEST, DIGEST]).dictionary_encode(),
        pa.array([None, KEYS[0].encode()]),
    ]
    for number, column in enumerate(columns):
        path = tmp_path / f"{number}.parquet"
        pq.write_table(pa.table({"n": [1, 2], "x": column}), path, compression="zstd")
        assert search_parquet(path, NAMES) in (*KEYS, DIGEST)
    pq.write_table(pa.table({"n": [1, 2], "x": [other, None]}), path)
    assert search_parquet(path, NAMES) is None
