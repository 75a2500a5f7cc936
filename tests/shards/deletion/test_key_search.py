"""The search for deleted keys misses none, at whatever byte it begins, and takes no other for one."""

from pathlib import Path

import numpy as np
import pytest
from avf_shards.deletion import key_search
from avf_shards.deletion.key_search import search_keys

KEYS = ["s-0123456789abcdef0123456789abcdef-0000000-0000200-0", "talk_2-0123456789ab-12345678-12345999-11"]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_seen_at_every_offset_and_over_the_limits_of_chunks(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_search, "_CHUNK_BYTES", 512)
    data = np.random.default_rng(0).bytes(1200)
    path = tmp_path / "shard.tar"
    for offset in range(1100 - len(key)):
        path.write_bytes(data[:offset] + key.encode() + b"." + data[offset:])  # another digit would make another key
        assert search_keys([path], KEYS) == (1201 + len(key), {path: key}), offset
    path.write_bytes(data + key.encode())
    assert search_keys([path], KEYS)[1] == {path: key}, "at the end"


def test_other_keys_are_not_taken_for_a_deleted_one(tmp_path: Path) -> None:
    path = tmp_path / "shard.index.json"
    path.write_text(
        "".join(f"x{KEYS[0]}7.mp4 t-{KEYS[0][2:]} {KEYS[0].replace('-0000200-', '-0000201-')} " for _ in range(9))
    )
    assert search_keys([path], KEYS) == (path.stat().st_size, {})
    assert search_keys([], KEYS) == (0, {})
